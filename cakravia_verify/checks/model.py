"""A check, what it found, and the place that it looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Protocol

from cakravia_verify.command_options import with_options
from cakravia_verify.errors import CakraviaError
from cakravia_verify.settings.models import Settings
from cakravia_verify.site.site import Site
from cakravia_verify.system.machine import Machine


class Grade(StrEnum):
    """How good a finding is. Only PROBLEM and UNKNOWN make a check fail."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class CheckFinding:
    """What a check found about one thing, what is needed, and what to do to get there."""

    grade: Grade
    found: str
    needed: str = ""
    remedy: str = ""

    @property
    def command(self) -> str:
        """The remedy, with the options of the present command line."""
        return with_options(self.remedy)

    @property
    def is_bad(self) -> bool:
        return self.grade in (Grade.PROBLEM, Grade.UNKNOWN)


class EngineReader(Protocol):
    """What checks read of a Docker engine."""

    @property
    def host(self) -> str: ...
    @property
    def is_remote(self) -> bool: ...
    def facts(self) -> dict[str, Any]: ...
    def version(self) -> dict[str, Any]: ...
    def has_image(self, name: str) -> bool: ...
    def attributes(self, container: str) -> Mapping[str, Any]: ...


@dataclass
class Ground:
    """What the checks look at: a site and the machine that it is on."""

    site: Site
    machine: Machine
    given_engine: EngineReader | None = None

    @property
    def settings(self) -> Settings:
        return self.site.settings

    @cached_property
    def engine(self) -> EngineReader:
        """The Docker engine of the site. Nothing is sent to it before it is asked."""
        if self.given_engine is not None:
            return self.given_engine
        from cakravia_verify.platforms.docker.engine.engine import Engine

        docker = self.settings.docker
        # A check does not wait long for an engine that is away.
        return Engine(docker.host, api_version=docker.api_version, patience=min(docker.patience, 2.0))


def _always(settings: Settings) -> bool:
    return True


def on_docker(settings: Settings) -> bool:
    return settings.site.platform == "docker"


def on_processes(settings: Settings) -> bool:
    return settings.site.platform == "process"


@dataclass(frozen=True)
class SiteCheck:
    """One check. `title` is its claim. `find` yields what it found and changes nothing."""

    name: str
    title: str
    find: Callable[[Ground], Iterable[CheckFinding]]
    applies: Callable[[Settings], bool] = _always


@dataclass(frozen=True)
class CheckedSite:
    """One check and everything that it found."""

    check: SiteCheck
    findings: tuple[CheckFinding, ...]

    @property
    def grade(self) -> Grade:
        """The worst grade of the findings."""
        rank = [Grade.PROBLEM, Grade.UNKNOWN, Grade.WARNING]
        grades = {finding.grade for finding in self.findings}
        return next((grade for grade in rank if grade in grades), Grade.OK)

    @property
    def bad(self) -> tuple[CheckFinding, ...]:
        return tuple(finding for finding in self.findings if finding.is_bad)

    def as_json(self) -> Mapping[str, Any]:
        rows = [
            {"grade": str(each.grade), "found": each.found, "needed": each.needed, "remedy": each.command}
            for each in self.findings
        ]
        return {"name": self.check.name, "title": self.check.title, "grade": str(self.grade), "findings": rows}


def carry_out(check: SiteCheck, ground: Ground) -> CheckedSite:
    """Return what the check found. An error is a finding too."""
    return CheckedSite(check, tuple(_findings(check, ground)))


def _findings(check: SiteCheck, ground: Ground) -> Iterator[CheckFinding]:
    try:
        yield from check.find(ground)
    except CakraviaError as error:
        yield CheckFinding(Grade.PROBLEM, error.message, remedy=error.remedy)
    except Exception as error:  # a check that breaks proves nothing, and stops no other check
        yield CheckFinding(
            Grade.UNKNOWN,
            f"this check failed: {type(error).__name__}: {error}",
            remedy="report it as a defect, with the output of cakravia doctor --json",
        )


def ok(found: str) -> CheckFinding:
    return CheckFinding(Grade.OK, found)


def warning(found: str, *, needed: str = "", remedy: str = "") -> CheckFinding:
    return CheckFinding(Grade.WARNING, found, needed, remedy)


def problem(found: str, *, needed: str = "", remedy: str = "") -> CheckFinding:
    return CheckFinding(Grade.PROBLEM, found, needed, remedy)


def no_error(act: Callable[[], object], *, found: str) -> CheckFinding:
    """Return the error of `act` as a problem, else that it was fine."""
    try:
        act()
    except CakraviaError as error:
        return problem(error.message, remedy=error.remedy)
    return ok(found)


def size_in_words(size: float) -> str:
    """Return bytes as a size in the unit that suits."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
