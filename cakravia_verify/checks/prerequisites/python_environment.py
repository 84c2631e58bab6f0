"""The Python that runs the sessions: its packages, and that it executes asserts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, problem
from cakravia_verify.settings.models import ENVIRONMENT_PREFIX, OTHER_ENVIRONMENT

NEEDED: Final = (
    "pytest",
    "pytest-html",
    "pytest-metadata",
    "locust",
    "gevent",
    "httpx",
    "psutil",
    "pydantic",
    "duckdb",
)
FOR_DOCKER: Final = ("docker", "pytest-testinfra")


def _find(ground: Ground) -> Iterator[CheckFinding]:
    machine = ground.machine
    needed = (*NEEDED, *(FOR_DOCKER if ground.settings.site.platform == "docker" else ()))
    missing = [name for name in needed if not machine.package(name)]
    if missing:
        yield problem(
            f"the packages {', '.join(missing)} are missing",
            needed=", ".join(needed),
            remedy="install them into the environment of cakravia: pip install --force-reinstall cakravia-verify",
        )
    if not machine.has_asserts:
        yield problem(
            "asserts are off (PYTHONOPTIMIZE or python -O)",
            needed="asserts: the checks of the suites are asserts",
            remedy="unset PYTHONOPTIMIZE, and start Python without -O",
        )
    if not missing and machine.has_asserts:
        yield ok(f"{len(needed)} packages, asserts are on")
    set_there = sorted(
        name
        for name in machine.environment
        if name.startswith(ENVIRONMENT_PREFIX) and not name.startswith(OTHER_ENVIRONMENT)
    )
    if set_there:
        yield ok(f"the environment changes settings: {', '.join(set_there)}")


CHECK: Final = SiteCheck("python", "Python has what the sessions need", _find)
