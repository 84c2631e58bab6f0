"""The compose file that releases write for `docker compose ps` and `logs`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.diagnosis.switching import changed_lines
from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, on_docker, problem
from cakravia_verify.platforms.docker.compose import ComposeFile


def _find(ground: Ground) -> Iterator[CheckFinding]:
    settings = ground.settings
    file = ComposeFile(
        settings.root / settings.docker.compose_file,
        settings.compose_project,
        settings.state / "docker" / "services",
    )
    written, wanted = file.written, file.rendered
    if written and written != wanted:
        yield problem(
            f"{file.path} was changed: {len(changed_lines(written, wanted, most=10_000))} lines differ",
            needed="the file that the last release wrote: docker compose up would change running containers",
            remedy="cakravia recover, or the next release, writes it anew",
        )
        return
    yield ok(f"{file.path} is as the last release wrote it" if written else "no release wrote one yet")


CHECK: Final = SiteCheck("compose file", "The compose file is what the settings make", _find, applies=on_docker)
