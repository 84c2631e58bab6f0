"""The tables [[hooks]]: commands that run around a release."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field, field_validator, model_validator

from cakravia_verify.settings.section import Section


class HookMoment(StrEnum):
    """When a hook runs."""

    BEFORE_STAGE = "before-stage"
    BEFORE_SWITCH = "before-switch"
    AFTER_SWITCH = "after-switch"
    AFTER_PROMOTE = "after-promote"
    AFTER_ROLLBACK = "after-rollback"
    ON_FAILURE = "on-failure"


class HookKind(StrEnum):
    """A plain command, or a migration of data that two versions share."""

    COMMAND = "command"
    MIGRATION = "migration"


class HookPlace(StrEnum):
    """Where a hook runs: as the candidate's version does, or on the machine that releases."""

    CANDIDATE = "candidate"
    MACHINE = "machine"


# The facts of a release that a hook is told, in its environment and as JSON on its standard input.
FACTS: Final = (
    *("release", "kind", "version", "slot", "digest", "previous_version", "previous_slot", "site", "platform"),
    *("url", "candidate_url", "reason", "hook", "at", "outcome", "why"),
)
BEFORE_USERS: Final = (HookMoment.BEFORE_STAGE, HookMoment.BEFORE_SWITCH)


def variable_of(fact: str) -> str:
    """Return the name of the environment variable of a fact."""
    return f"CAKRAVIA_{fact.upper()}"


def is_fact_of_a_hook(variable: str, environment: Mapping[str, str]) -> bool:
    """Return whether a hook was told this variable: then it is no setting, and a hook may run `cakravia`."""
    return variable_of("hook") in environment and variable in map(variable_of, FACTS)


class HookSettings(Section):
    """One command around a release. `timeout` in seconds."""

    at: HookMoment
    command: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1, strict=False)]
    name: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9 ._-]{0,63})?$")] = ""
    kind: HookKind = HookKind.COMMAND
    where: HookPlace = HookPlace.CANDIDATE
    timeout: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] = 300.0
    environment: dict[str, str] = Field(default_factory=dict)

    @field_validator("at", "kind", "where", mode="before")
    @classmethod
    def _from_text(cls, value: Any, info: Any) -> Any:
        """TOML has texts only, and strict types take no text for an enum."""
        kind = {"at": HookMoment, "kind": HookKind, "where": HookPlace}[info.field_name]
        if not isinstance(value, str):
            return value
        if value not in set(kind):
            raise ValueError(f"{value!r} is not one of {', '.join(kind)}")
        return kind(value)

    @model_validator(mode="after")
    def _a_migration_comes_before_users(self) -> HookSettings:
        if self.kind is HookKind.MIGRATION and self.at not in BEFORE_USERS:
            raise ValueError(f'kind = "migration" needs at = "{BEFORE_USERS[0]}" or "{BEFORE_USERS[1]}"')
        return self

    @property
    def title(self) -> str:
        """The name; without one, the beginning of the command."""
        return self.name or " ".join(" ".join(self.command).split())[:60]
