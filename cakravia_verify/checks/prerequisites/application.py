"""The application on the embedded platform: its program, its source, its variables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, no_error, ok, on_processes, problem
from cakravia_verify.platforms.process.environments import variables_of

_ANY_VERSION: Final = "{version}"


def _find(ground: Ground) -> Iterator[CheckFinding]:
    app, machine, root = ground.settings.app, ground.machine, ground.settings.root
    if not app.command:
        yield problem(
            "[app] command is missing: nothing says how the application is started",
            needed="the command that starts one version",
            remedy='write it into cakravia.toml, for example command = ["node", "server.js"]',
        )
    source = root / app.source
    if _ANY_VERSION not in app.source and not source.is_dir():
        yield problem(
            f"[app] source: {source} is not a folder",
            needed="the folder of the application",
            remedy="set [app] source to the folder of the application",
        )
    elif _ANY_VERSION not in app.source and not app.build and not (source / app.directory).is_dir():
        yield problem(
            f"[app] directory: {source} has no folder {app.directory!r}",
            needed="the folder in which the command starts",
            remedy="set [app] directory to a folder of the source",
        )
    for key, command in (("command", app.command), ("build", app.build)):
        if not command or _ANY_VERSION in command[0] or command[0] == "{python}":
            continue
        is_of_source = (source / app.directory / command[0]).is_file() if "/" in command[0] else False
        if not is_of_source and not machine.program(command[0], path=machine.environment.get("PATH")):
            yield problem(
                f"[app] {key}: {command[0]!r} is not a program on this machine",
                needed=f"the first word of [app] {key} is a program",
                remedy=f"correct [app] {key}, or install the program",
            )
    yield no_error(
        lambda: variables_of(ground.settings, machine.environment),
        found=f"its variables are here: {', '.join(app.pass_environment) or 'none is passed on'}",
    )
    if app.command and source.is_dir():
        yield ok(f"{' '.join(app.command)[:80]} in {source}")


CHECK: Final = SiteCheck("application", "The application can be started", _find, applies=on_processes)
