"""The session of a load on the live site."""

from __future__ import annotations

import math
from typing import ClassVar, Final

import pytest

from cakravia_verify.plugin.sessions.base import Session
from cakravia_verify.runs.load_run import LoadRun

DEFAULT_SECONDS: Final = 60.0
LONGEST_SECONDS: Final = 86_400.0


class LoadSession(Session[LoadRun]):
    """A session that loads the live site and switches nothing."""

    latest: ClassVar[str] = "latest-load"

    def new_run(self) -> LoadRun:
        self._refuse_options_of_releases()
        duration = self._duration()
        return LoadRun(self.open_site(), duration=duration, on_event=self.progress.event)

    def _refuse_options_of_releases(self) -> None:
        option = self.config.getoption
        if option("release"):
            raise pytest.UsageError("a load releases nothing: run suites/load without --version / --release")
        given = {
            "--bake": option("cakravia_bake") is not None,
            "--reason": option("reason"),
            "--redeploy": option("redeploy"),
            "--wait": option("wait"),
            "--digest": option("digest"),
        }
        for name, is_given in given.items():
            if is_given:
                raise pytest.UsageError(f"{name} is for releases: a load does not use it")

    def _duration(self) -> float:
        """Return the seconds that the site is loaded for."""
        given = self.config.getoption("duration")
        seconds: float = DEFAULT_SECONDS if given is None else given
        if math.isfinite(seconds) and 0 < seconds <= LONGEST_SECONDS:
            return seconds
        raise pytest.UsageError(f"--duration {seconds:g}: give seconds, more than 0 and at most {LONGEST_SECONDS:g}")
