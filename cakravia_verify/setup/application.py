"""Which application a folder holds: the first kind whose files are there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from cakravia_verify.setup.findings import Application, ProjectFact
from cakravia_verify.setup.node_application import node_application
from cakravia_verify.setup.python_application import python_application
from cakravia_verify.setup.source_files import text_of


def application_in(folder: Path) -> Application | None:
    """Return the application of a folder, None if no known kind is there. A Procfile names its command best."""
    found = python_application(folder) or _rails(folder) or node_application(folder)
    processes = _processes(folder)
    if "web" not in processes:
        return found
    shown = tuple(ProjectFact("Procfile", f"{name}: {line}") for name, line in processes.items())
    found = found or Application("Procfile")
    has_own_environment = ".venv/" in " ".join(found.build)
    commands = {name: _command(line, in_environment=has_own_environment) for name, line in processes.items()}
    return replace(
        found,
        command=commands.pop("web"),
        # The release phase of Heroku: once for each version, before its processes.
        migration=commands.pop("release", found.migration),
        workers=commands,
        findings=(*found.findings, *shown),
    )


def _command(line: str, *, in_environment: bool) -> tuple[str, ...]:
    """Return the command of a line. A line of several parts needs the shell itself; any other one replaces it."""
    if in_environment and re.match(r"(gunicorn|uvicorn|python3?|flask|hypercorn|celery|rq)\b", line):
        return ("sh", "-c", f'PATH=".venv/bin:$PATH" exec {_as_module(line)}')
    return ("sh", "-c", line if re.search(r"&&|\|\||;|^exec ", line) else f"exec {line}")


def _as_module(web: str) -> str:
    """Return a command that does not start a script of the environment: those name the folder they were made in."""
    return re.sub(r"^(gunicorn|uvicorn|flask|hypercorn|celery|rq)\b", r".venv/bin/python -m \1", web)


def _processes(folder: Path) -> dict[str, str]:
    """Return the lines of the Procfile by the name of their process."""
    return {
        name: line.strip()
        for name, line in re.findall(r"^([\w-]+):[ \t]*(.+)$", text_of(folder / "Procfile"), re.MULTILINE)
    }


def _rails(folder: Path) -> Application | None:
    gems = text_of(folder / "Gemfile")
    if not re.search(r"^\s*gem\s+['\"]rails['\"]", gems, re.MULTILINE):
        return None
    build = ["bundle install"]
    if (folder / "app" / "assets").is_dir():
        build.append("SECRET_KEY_BASE_DUMMY=1 bundle exec rails assets:precompile")
    return Application(
        framework="Rails",
        command=("sh", "-c", 'exec bundle exec rails server -b "$HOST" -p "$PORT" -P "$DATA_DIR/$DEPLOYMENT_SLOT.pid"'),
        build=("sh", "-c", " && ".join(build)),
        environment={"RAILS_ENV": "production"},
        port=3000,
        writable=("tmp", "log"),
        assets=("/assets/",),
        migration=("bundle", "exec", "rails", "db:migrate"),
        findings=(ProjectFact("Gemfile", "Rails"),),
    )
