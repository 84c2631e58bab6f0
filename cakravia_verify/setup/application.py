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
    web = _web_process(folder)
    if not web:
        return found
    shown = ProjectFact("Procfile", f"web: {web}")
    # A shell command of several parts needs the shell itself.
    command = ("sh", "-c", web if re.search(r"&&|\|\||;|^exec ", web) else f"exec {web}")
    if found is None:
        return Application("Procfile", command=command, findings=(shown,))
    if re.match(r"(gunicorn|uvicorn|python3?|flask|hypercorn)\b", web) and ".venv/" in " ".join(found.build):
        command = ("sh", "-c", f'PATH=".venv/bin:$PATH" exec {_as_module(web)}')
    return replace(found, command=command, findings=(*found.findings, shown))


def _as_module(web: str) -> str:
    """Return a command that does not start a script of the environment: those name the folder they were made in."""
    return re.sub(r"^(gunicorn|uvicorn|flask|hypercorn)\b", r".venv/bin/python -m \1", web)


def _web_process(folder: Path) -> str:
    found = re.search(r"^web:\s*(.+)$", text_of(folder / "Procfile"), re.MULTILINE)
    return found[1].strip() if found else ""


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
        migration=("bundle", "exec", "rails", "db:migrate"),
        findings=(ProjectFact("Gemfile", "Rails"),),
    )
