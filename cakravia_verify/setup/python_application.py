"""Django, FastAPI, Flask and other applications of Python, from their files of requirements and their source."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

from cakravia_verify.errors import UsageError
from cakravia_verify.setup.findings import Application, ProjectFact
from cakravia_verify.setup.source_files import first_of, source_files, text_of

_PYTHON: Final = ".venv/bin/python"
_CREATED: Final = re.compile(r"^(\w+)(?:\s*:\s*\w+)?\s*=\s*(FastAPI|Flask|Starlette|Litestar)\(", re.MULTILINE)
# How each server is told its address; the shell fills in HOST and PORT and becomes the server.
_ASGI: Final = '{python} -m uvicorn {app} --host "$HOST" --port "$PORT"'
_WSGI: Final = '{python} -m gunicorn {app} --bind "$HOST:$PORT"'


def python_application(folder: Path) -> Application | None:
    """Return the application, None if no file of requirements is here or no known framework is in it."""
    file = first_of(folder, "requirements.txt", "pyproject.toml", "Pipfile")
    if file is None and not (folder / "manage.py").is_file():
        return None
    names = _requirements(folder)
    if (folder / "manage.py").is_file():
        return _django(folder, names)
    for path in source_files(folder, endings=(".py",)):
        if found := _CREATED.search(text_of(path)):
            return _framework(folder, path, found, names)
    return None


def _requirements(folder: Path) -> frozenset[str]:
    """Return the names of the required packages, in lower case."""
    lines = text_of(folder / "requirements.txt").splitlines()
    project = folder / "pyproject.toml"
    if project.is_file():
        try:
            table = tomllib.loads(text_of(project))
        except ValueError as error:
            raise UsageError(f"pyproject.toml cannot be read: {error}", remedy="correct the file") from error
        lines += table.get("project", {}).get("dependencies", [])
        lines += list(table.get("tool", {}).get("poetry", {}).get("dependencies", {}))
    return frozenset(found[0].lower().replace("_", "-") for line in lines if (found := re.match(r"[\w.-]+", line)))


def _install(folder: Path, *more: str) -> tuple[str, ...]:
    """Return the command that makes the version's own environment, and runs `more` in it."""
    if (folder / "uv.lock").is_file():
        steps = ["uv sync --frozen --no-dev"]
    elif (folder / "requirements.txt").is_file():
        steps = ["python3 -m venv .venv", f"{_PYTHON} -m pip install -q -r requirements.txt"]
    else:
        steps = ["python3 -m venv .venv", f"{_PYTHON} -m pip install -q ."]
    return ("sh", "-c", " && ".join([*steps, *more]))


def _serve(pattern: str, app: str) -> tuple[str, ...]:
    return ("sh", "-c", "exec " + pattern.format(python=_PYTHON, app=app))


def _django(folder: Path, names: frozenset[str]) -> Application:
    found = re.search(r"['\"]([\w.]+)\.settings", text_of(folder / "manage.py"))
    package = found[1] if found else ""
    settings = text_of(folder.joinpath(*package.split(".")) / "settings.py") if package else ""
    command: tuple[str, ...] = ()
    if package and "gunicorn" in names:
        command = _serve(_WSGI, f"{package}.wsgi")
    elif package and "uvicorn" in names:
        command = _serve(_ASGI, f"{package}.asgi:application")
    more = [f"{_PYTHON} manage.py collectstatic --noinput"] if "STATIC_ROOT" in settings else []
    return Application(
        framework="Django",
        command=command,
        build=_install(folder, *more),
        port=8000,
        migration=("python3", "manage.py", "migrate", "--noinput"),
        findings=(ProjectFact("manage.py", f"Django project {package}"),),
    )


def _framework(folder: Path, path: Path, found: re.Match[str], names: frozenset[str]) -> Application:
    place = path.relative_to(folder).with_suffix("")
    parts = place.parts[1:] if place.parts[0] == "src" else place.parts
    app = f"{'.'.join(parts)}:{found[1]}"
    command: tuple[str, ...] = ()
    if found[2] == "Flask":
        command = _serve(_WSGI, app) if "gunicorn" in names else ()
    elif names & {"uvicorn", "fastapi-cli"} or "fastapi[standard]" in text_of(folder / "requirements.txt"):
        command = _serve(_ASGI, app)
    return Application(
        framework=found[2],
        command=command,
        build=_install(folder),
        port=5000 if found[2] == "Flask" else 8000,
        findings=(ProjectFact(str(path.relative_to(folder)), f"{found[2]} application {app}"),),
    )
