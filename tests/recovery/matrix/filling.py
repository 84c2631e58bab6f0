"""Small disks that are filled to the last byte and the last file, and emptied again."""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path

FILLER = ".filler"


def fill(folder: Path) -> None:
    """The disk of `folder` has no byte and no inode left."""
    for number in itertools.count():
        try:
            with (folder / f"{FILLER}-{number}").open("wb", buffering=0) as file:
                for size in (65536, 4096, 512, 1):
                    with contextlib.suppress(OSError):
                        while file.write(b"\0" * size):
                            pass
        except OSError:
            return


def use_up_last_page(file: Path) -> None:
    """Append blanks until the file ends where its last page ends, so that the next byte needs a page that is free."""
    missing = -file.stat().st_size % os.sysconf("SC_PAGE_SIZE")
    if missing:
        with file.open("ab", buffering=0) as end:
            end.write(b" " * (missing - 1) + b"\n")


def make_room(*folders: Path) -> None:
    for folder in folders:
        for filler in folder.glob(f"{FILLER}-*"):
            filler.unlink()
