"""Commands on a site, each in a process of its own that can be killed: `python releasing.py SITE_FILE`.

Reads lines of JSON, each a list of commands that begin at the same instant, and answers each with a line that tells how
each of them ended. Everything is imported once; a command is a fork, begun within milliseconds.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from cakravia_verify.errors import CakraviaError, LockHeld, RollbackFailed, UsageError
from cakravia_verify.recovery.repair import repair
from cakravia_verify.release.machine import StepEvent
from cakravia_verify.runs.preparation import Request
from cakravia_verify.runs.release_run import ReleaseRun
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.site import Site

CHECKED = "everything was reached"


class Fate:
    """Lets this process die `after` seconds from the `moment`-th moment of its release on, from its start where 0."""

    def __init__(self, event: int, after: float) -> None:
        self._moments = event
        self._after = after
        if event == 0:
            self._die_soon()

    def __call__(self, _: StepEvent) -> None:
        self._moments -= 1
        if self._moments == 0:
            self._die_soon()

    def _die_soon(self) -> None:
        if self._after == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Thread(target=self._die, daemon=True).start()

    def _die(self) -> None:
        time.sleep(self._after)
        os.kill(os.getpid(), signal.SIGKILL)


def perform(file: Path, command: dict[str, Any]) -> dict[str, Any]:
    """How the command ended, and from when to when it had the site for itself."""
    site = open_site(load_settings(file, environment={}, overrides=[tuple(pair) for pair in command["settings"]]))
    death = command["death"]
    fate = Fate(*death) if death else lambda _: None
    if command["kind"] == "recover":
        return _recover(site)
    run = ReleaseRun(site, Request(command["kind"], command["version"]), on_event=fate)
    try:
        run.open()
    except LockHeld:
        return {"ended": "told"}
    except UsageError as error:
        return {"ended": "refused", "why": error.message}
    except RollbackFailed as error:
        return {"ended": "stuck", "why": error.message}
    held_from = time.monotonic()
    try:
        reached = "passed"
        try:
            run.folder.mkdir(parents=True, exist_ok=True)
            run.reach("bake")
        except CakraviaError:
            reached = "failed"
        outcome = run.conclude({CHECKED: reached})
        return {
            "ended": outcome.document.outcome,
            "why": outcome.verdict.why,
            "notices": list(run.notices),
            "held": [held_from, time.monotonic()],
        }
    finally:
        run.close()


def _recover(site: Site) -> dict[str, Any]:
    try:
        lease = site.lock.acquire("recover")
    except LockHeld:
        return {"ended": "told"}
    site.journal.token = lease.token
    held_from = time.monotonic()
    try:
        lines = list(repair(site))
    except CakraviaError as error:
        return {"ended": "stuck", "why": error.message}
    finally:
        held_until = time.monotonic()
        site.lock.release()
    return {"ended": "recovered", "why": "; ".join(lines), "held": [held_from, held_until]}


def begin(file: Path, command: dict[str, Any]) -> tuple[int, int]:
    """The process of the command, and where it will tell how it ended."""
    hear, say = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(hear)
        try:
            told = perform(file, command)
        except BaseException as error:
            told = {"ended": "broke", "why": repr(error)}
        os.write(say, json.dumps(told).encode())
        os._exit(0)
    os.close(say)
    return pid, hear


def end(pid: int, hear: int) -> dict[str, Any]:
    with os.fdopen(hear, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return {"ended": "killed", "why": signal.Signals(os.WTERMSIG(status)).name}
    found: dict[str, Any] = json.loads(told)
    return found


def main(file: Path) -> None:
    for line in sys.stdin:
        begun = [begin(file, command) for command in json.loads(line)]
        print(json.dumps([end(*each) for each in begun]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
