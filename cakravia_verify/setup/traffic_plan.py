"""Plan the smoke requests and the traffic mix: paths that were found in the source or in an access log."""

from __future__ import annotations

from typing import Final

from cakravia_verify.setup.contract_plan import front_path
from cakravia_verify.setup.findings import FoundProject
from cakravia_verify.setup.plan import Answers, PlanDraft, SettingTable

# Frameworks in whose source every path is written out: no path, no front page.
_NAME_EVERY_PATH: Final = ("FastAPI", "Flask", "Starlette", "Litestar", "Django")
FRONT_WEIGHT: Final = 4.0


def plan_traffic(draft: PlanDraft, found: FoundProject, answers: Answers) -> None:
    """Add the mix. Without other pages than `/`, the default mix stays: GET /."""
    mix = [dict(table) for table in answers.mix] or _mix_of(draft, found)
    if not mix:
        return
    if all(table["path"] != "/" for table in mix):
        readable = [table for table in mix if table.get("method", "GET") == "GET"] or mix[:1]
        draft.set("release.smoke", [{"path": readable[0]["path"]}], "asked of the candidate before users reach it")
    if found.routes.others and not answers.mix:
        draft.notes.append(f"not in the mix, since they may need a login or more: {', '.join(found.routes.others[:8])}")
    if [table["path"] for table in mix] == ["/"]:
        return
    draft.set("traffic.profile", "custom", "the requests below; docs/TRAFFIC.md has every key")
    draft.tables += [SettingTable("traffic.mix", table) for table in mix]


def _mix_of(draft: PlanDraft, found: FoundProject) -> list[dict[str, object]]:
    if pages := found.routes.pages:
        front = front_path(found)
        return [
            {"path": path, **({"weight": FRONT_WEIGHT} if path == front and len(pages) > 1 else {})} for path in pages
        ]
    framework = found.application.framework if found.application else ""
    health = next((str(line.value) for line in draft.lines if (line.section, line.key) == ("contract", "health")), "")
    if framework in _NAME_EVERY_PATH and health:
        return [{"path": health}]
    return []
