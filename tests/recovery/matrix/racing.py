"""Pairs of releases that open the same site at the same instant: `python racing.py SITE_FILE ROUNDS`.

Prints one line a round: how each of the two ended, `ran` or `told`, and whether the one that was told heard a name.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from cakravia_verify.errors import LockHeld
from cakravia_verify.runs.preparation import Request
from cakravia_verify.runs.release_run import ReleaseRun
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site


def race(file: Path, *, start: float, say: int, until: int) -> None:
    """One of the two: it says how it ended, and holds what it got until both have said so."""
    run = ReleaseRun(open_site(load_settings(file, environment={})), Request("deploy", "v3.0.0"))
    time.sleep(max(0.0, start - time.monotonic()))
    try:
        run.open()
    except LockHeld as error:
        os.write(say, b"told by name" if ", process " in str(error) else b"told")
        return
    os.write(say, b"ran")
    os.read(until, 1)
    run.close()


def main() -> None:
    file, rounds = Path(sys.argv[1]), int(sys.argv[2])
    for _ in range(rounds):
        start = time.monotonic() + 0.05
        until, both = os.pipe()
        heard = []
        for _ in range(2):
            hear, say = os.pipe()
            if os.fork() == 0:
                os.close(both)
                try:
                    race(file, start=start, say=say, until=until)
                except BaseException as error:
                    os.write(say, repr(error).encode())
                os._exit(0)
            os.close(say)
            heard.append(hear)
        said = [os.read(hear, 1000).decode() for hear in heard]
        for descriptor in (both, until, *heard):
            os.close(descriptor)
        for _ in heard:
            os.wait()
        print(", ".join(sorted(said)), flush=True)


if __name__ == "__main__":
    main()
