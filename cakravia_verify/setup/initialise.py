"""What `cakravia init` does, apart from its questions: look, choose, plan, and list the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cakravia_verify.errors import UsageError
from cakravia_verify.setup.compose_services import for_users
from cakravia_verify.setup.docker_plan import OWN_COMPOSE_FILE
from cakravia_verify.setup.findings import ComposeService, FoundProject
from cakravia_verify.setup.looking import narrowed
from cakravia_verify.setup.pipeline import PLACES, pipeline_text
from cakravia_verify.setup.plan import Answers, MachineFacts, SetupPlan
from cakravia_verify.setup.planning import plan_site
from cakravia_verify.setup.project_files import PlannedFile, ignore_rules_for, planned, suites_for
from cakravia_verify.setup.settings_text import require_valid, settings_text

IGNORED: Final = (".cakravia/", "reports/")
IGNORED_ON_DOCKER: Final = ("docker-compose.blue-green.yml",)


@dataclass(frozen=True)
class Proposal:
    """A plan and the files that it writes."""

    plan: SetupPlan
    files: tuple[PlannedFile, ...]

    @property
    def to_write(self) -> tuple[PlannedFile, ...]:
        return tuple(file for file in self.files if not file.is_same)

    @property
    def to_replace(self) -> tuple[PlannedFile, ...]:
        return tuple(file for file in self.to_write if file.replaces)


def choose_service(
    found: FoundProject, answers: Answers, *, ask: Callable[[tuple[str, ...]], str]
) -> ComposeService | None:
    """Return the service that users reach, None if slots are not made of a compose file.

    `ask` chooses among several. Raises UsageError if the named service is missing.
    """
    if found.compose is None or answers.platform == "process" or answers.image:
        return None
    names = tuple(service.name for service in found.compose.services)
    likely = tuple(service.name for service in for_users(found))
    name = answers.service or (likely[0] if len(likely) == 1 else ask(likely) if likely else "")
    if name and name not in names:
        raise UsageError(
            f"{found.compose.files[0]} has no service {name}; it has: {', '.join(names) or 'none'}",
            remedy="name one of them: cakravia init --service NAME",
        )
    return found.compose.service(name)


def propose(
    folder: Path,
    settings: Path,
    *,
    found: FoundProject,
    answers: Answers,
    machine: MachineFacts,
    service: ComposeService | None,
    pipeline: str = "",
) -> Proposal:
    """Return what init would write into the folder. Changes nothing. Raises UsageError with what is missing."""
    project = narrowed(folder, found, service) if service else found
    plan = plan_site(project, answers, machine, service=service)
    text = settings_text(plan)
    require_valid(text, root=folder)
    return Proposal(plan, tuple(_files(folder, settings, text, plan=plan, pipeline=pipeline)))


def _files(folder: Path, settings: Path, text: str, *, plan: SetupPlan, pipeline: str) -> Iterator[PlannedFile]:
    yield planned(settings, text)
    if plan.compose_file:
        yield planned(folder / OWN_COMPOSE_FILE, plan.compose_file)
    yield from suites_for(folder, platform=plan.platform)
    ignored = (*IGNORED, *(IGNORED_ON_DOCKER if plan.platform == "docker" else ()))
    if (folder / ".gitignore").exists() or (folder / ".git").exists():
        yield from ignore_rules_for(folder / ".gitignore", lines=ignored)
    if plan.build_context and (folder / plan.build_context).resolve() == folder.resolve():
        # Else every build would copy the reports and the state into the image, and no two builds would be the same.
        yield from ignore_rules_for(folder / ".dockerignore", lines=ignored)
    if pipeline:
        yield planned(folder / PLACES[pipeline], pipeline_text(pipeline))
