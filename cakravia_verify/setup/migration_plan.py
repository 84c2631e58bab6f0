"""Plan what runs beside the slots: the migration of the database as a hook, and workers as companions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cakravia_verify.settings.companions import OTHER_PARTS
from cakravia_verify.setup.plan import PlanDraft, SettingTable


def plan_companion(draft: PlanDraft, name: str, **definition: object) -> None:
    """Add a companion: a process of the same version that gets no requests. A name that it cannot have is told."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", name) or name in OTHER_PARTS:
        draft.notes.append(f"{name} is not moved with a release: [[companions]] needs another name for it")
        return
    draft.tables.append(
        SettingTable("companions", {"name": name, **definition}, "moves with a release: it never runs in two versions")
    )


def plan_migration(draft: PlanDraft, command: Sequence[str]) -> None:
    """Add a hook that migrates once for each version, before its first process starts."""
    draft.tables.append(
        SettingTable(
            "hooks",
            {"at": "before-stage", "kind": "migration", "name": "migrate the database", "command": list(command)},
            "runs once for each version; the version before must work with the new schema as well (docs/HOOKS.md)",
        )
    )
