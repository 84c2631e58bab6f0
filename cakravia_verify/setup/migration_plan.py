"""Plan the migration of the application's database as a hook."""

from __future__ import annotations

from collections.abc import Sequence

from cakravia_verify.setup.plan import PlanDraft, SettingTable


def plan_migration(draft: PlanDraft, command: Sequence[str]) -> None:
    """Add a hook that migrates once for each version, before its first process starts."""
    draft.tables.append(
        SettingTable(
            "hooks",
            {"at": "before-stage", "kind": "migration", "name": "migrate the database", "command": list(command)},
            "runs once for each version; the version before must work with the new schema as well (docs/HOOKS.md)",
        )
    )
