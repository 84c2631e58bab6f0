"""Plan the section [contract]: which endpoints say that a slot is healthy."""

from __future__ import annotations

from cakravia_verify.setup.findings import ComposeService, FoundProject
from cakravia_verify.setup.plan import Answers, PlanDraft
from cakravia_verify.setup.routes import HEALTH_PATHS


def plan_contract(draft: PlanDraft, found: FoundProject, answers: Answers, *, service: ComposeService | None) -> None:
    """Add the paths that differ from the defaults. An endpoint that no file names gets an empty path."""
    path, source = _health(found, answers, service)
    if path != HEALTH_PATHS["health"][0]:
        draft.set("contract.health", path, source)
    for key in ("ready", "live", "status"):
        value = "" if answers.health else found.routes.health.get(key, "")
        value = "" if value == path else value
        if value != HEALTH_PATHS[key][0]:
            draft.set(f"contract.{key}", value, "found in the source" if value else "no such endpoint was found")
    if not found.routes.knows_slots:
        draft.set("contract.version_field", "", "the application does not know the version of the release")


def front_path(found: FoundProject) -> str:
    """Return the page that every version answers with 200: the front page, else the first page, else ""."""
    pages = found.routes.pages
    return "/" if "/" in pages else pages[0] if pages else ""


def _health(found: FoundProject, answers: Answers, service: ComposeService | None) -> tuple[str, str]:
    named = found.routes.health
    checks = (
        (answers.health, "given on the command line"),
        (named.get("health", ""), "found in the source"),
        (service.health if service else "", "asked by the health check of the service"),
        (found.image_file.health if found.image_file else "", "asked by the health check of the image"),
        (named.get("ready", ""), "found in the source"),
        (named.get("live", ""), "found in the source"),
    )
    for path, source in checks:
        if path:
            return path, source
    return front_path(found) or "/", "no health endpoint was found, so this page is asked"
