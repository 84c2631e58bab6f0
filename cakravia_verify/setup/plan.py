"""What `cakravia init` will write: settings with a comment each, tables, and the commands that come next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cakravia_verify.setup.findings import ImageFile


@dataclass(frozen=True)
class Answers:
    """What the operator decided on the command line or at a question. Empty: the files decide."""

    platform: str = ""
    name: str = ""
    service: str = ""
    port: int = 0
    host: str = ""
    health: str = ""
    image: str = ""
    listen: str = ""
    mix: tuple[Mapping[str, Any], ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class MachineFacts:
    """What this machine offers. `no_engine` says why no Docker engine answers, "" if one does.

    `image` returns what the engine knows of an image, None if it lacks it.
    """

    no_engine: str = ""
    is_free: Callable[[int], bool] = lambda port: True
    image: Callable[[str], ImageFile | None] = lambda name: None


@dataclass(frozen=True)
class SettingLine:
    """One key of cakravia.toml that differs from its default, and why."""

    section: str
    key: str
    value: Any
    comment: str


@dataclass(frozen=True)
class SettingTable:
    """One table of an array, such as `[[hooks]]`."""

    name: str
    values: Mapping[str, Any]
    comment: str = ""


@dataclass(frozen=True)
class SetupPlan:
    """All that init writes. `compose_file` is the text of our own compose file, "" if none is needed.

    `build_context` is the folder that an image is built from, "" if none is built.
    """

    platform: str
    lines: tuple[SettingLine, ...]
    tables: tuple[SettingTable, ...] = ()
    compose_file: str = ""
    notes: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    build_context: str = ""


@dataclass
class PlanDraft:
    """A plan that is being made."""

    platform: str
    lines: list[SettingLine] = field(default_factory=list)
    tables: list[SettingTable] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    compose_file: str = ""
    build_context: str = ""

    def set(self, key: str, value: Any, comment: str) -> None:
        """Add a key, written as section.key. A later value replaces an earlier one."""
        section, _, name = key.rpartition(".")
        self.lines = [line for line in self.lines if (line.section, line.key) != (section, name)]
        self.lines.append(SettingLine(section, name, value, comment))

    def finished(self) -> SetupPlan:
        return SetupPlan(
            self.platform,
            tuple(self.lines),
            tuple(self.tables),
            self.compose_file,
            tuple(self.notes),
            tuple(self.steps),
            self.build_context,
        )
