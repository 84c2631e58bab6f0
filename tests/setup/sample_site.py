"""A copy of a sample project whose settings are written by `cakravia init`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from cakravia_verify.testing.throwaway_site import ThrowawaySite

# Less traffic and a shorter bake than a user has: many tests share this machine. Written by init itself.
QUICK = {
    "release.bake": "1.0",
    "traffic.users": "10",
    "traffic.rate": "60.0",
    "budget.min_requests": "50",
    "budget.min_each": "1",
    "budget.min_rate_held": "0.5",
    "budget.p99": "20.0",
}


class SampleSite(ThrowawaySite):
    """A copy of a sample project. `init` writes its settings."""

    def __init__(self, folder: Path, source: Path) -> None:
        super().__init__(folder, "")
        self.settings.unlink()
        ignored = shutil.ignore_patterns("cakravia.toml", "node_modules", "__pycache__")
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=ignored)

    @property
    def name(self) -> str:
        """The name of the site in its settings."""
        return self.settings.read_text().partition('name = "')[2].partition('"')[0]

    def initialise(self, settings: Mapping[str, str]) -> None:
        pairs = QUICK | {"proxy.listen": f"127.0.0.1:{self.users}"} | dict(settings)
        words = [word for key, value in pairs.items() for word in ("--set", f"{key}={value}")]
        ended = self.cakravia(*words, "init", "--yes")
        assert ended.status == 0, ended.output

    def release_twice(self) -> None:
        for version in ("v1.0.0", "v1.1.0"):
            ended = self.cakravia("deploy", version)
            assert ended.status == 0, ended.output
            verdict = self.verdict_of(version)
            assert (verdict["decision"], verdict["evidence"]["measured"]["lost"]) == ("PROMOTE", 0)
