"""A rule of the linter, what it knows beside the configuration, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from cakravia_verify.proxy.lint.directives import Directive, NginxTree

# The requests each second of the release's own traffic, from one address, that limits must let pass.
MEASURING_RATE = 20
MEASURING_CONNECTIONS = 64


class Severity(StrEnum):
    """ERROR: users lose, double or misread requests. WARNING: a failure becomes worse, or is hidden. NOTE: what another
    linter found; it does not decide."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class LintFacts:
    """What a configuration does not say. Times are in seconds, `largest_body` is in bytes; None is not known.

    `app_idle` is the time after which the application closes an idle connection; uvicorn and Node: 5 s.
    `grace` is the time that a slot gets to finish its requests when it is stopped.
    """

    app_idle: float = 5.0
    grace: float | None = None
    largest_body: int | None = None
    nginx: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Spot:
    """One place where a rule is broken, and what is there."""

    directive: Directive
    found: str


@dataclass(frozen=True)
class LintRule:
    """One rule. `title` says what must hold, `reason` what users see otherwise, `remedy` what to write."""

    id: str
    title: str
    severity: Severity
    reason: str
    remedy: str
    find: Callable[[NginxTree, LintFacts], Iterator[Spot]]

    @property
    def section(self) -> str:
        """The section of the documentation."""
        return f"docs/LINT.md#{self.id}"


@dataclass(frozen=True)
class LintFinding:
    """A broken rule at one place. `ignored` is the reason of the comment that ignores it, '' without one."""

    rule: str
    severity: Severity
    file: str
    line: int
    found: str
    reason: str
    remedy: str
    section: str
    ignored: str = ""

    @property
    def counts(self) -> bool:
        """Whether the finding makes the check fail."""
        return not self.ignored and self.severity is not Severity.NOTE
