"""The session of the nightly regression: on a copy of the site, never on the site itself."""

from __future__ import annotations

from typing import ClassVar, Final

import pytest

from cakravia_verify.plugin.options import overrides
from cakravia_verify.plugin.sessions.checks import CheckSession
from cakravia_verify.runs.regression_run import RegressionRun

# Seconds.
DEFAULT: Final = 600.0


class RegressionSession(CheckSession):
    """A session of rounds on a copy."""

    latest: ClassVar[str] = "latest-regression"

    def new_run(self) -> RegressionRun:
        self.refuse_options_of_releases()
        if self.config.getoption("cakravia_hurts"):
            raise pytest.UsageError("--i-know-this-hurts is for failover: a regression never touches the live site")
        site = self.open_site()
        if site.settings.site.platform != "process":
            raise pytest.UsageError("a regression needs the embedded platform; this site is on Docker")
        return RegressionRun(
            site,
            duration=self.duration(DEFAULT),
            pairs=overrides(self.config),
            on_event=self.progress.event,
            told=self.progress.line,
        )
