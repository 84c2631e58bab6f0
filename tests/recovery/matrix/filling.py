"""Small disks that are filled to the last byte and the last file, and emptied again."""

from __future__ import annotations

import contextlib
import itertools
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


def make_room(*folders: Path) -> None:
    for folder in folders:
        for filler in folder.glob(f"{FILLER}-*"):
            filler.unlink()
