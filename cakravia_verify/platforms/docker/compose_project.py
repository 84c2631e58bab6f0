"""Read the project's compose files with `docker compose config`, or without it if they are simple."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cakravia_verify.errors import UsageError
from cakravia_verify.platforms.docker.compose_values import pairs_of

COMMANDS: Final = (("docker", "compose"), ("docker-compose",))
CONFIG_SECONDS: Final = 60.0
# What only compose itself reads in the right way.
COMPOSE_ONLY: Final = frozenset({"extends", "include", "env_file", "label_file", "develop"})
UNSET_VARIABLE: Final = re.compile(r'The \\?"([A-Za-z_][A-Za-z0-9_]*)\\?" variable is not set')


def read_compose(files: tuple[Path, ...], *, variables: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the merged document, with every variable replaced, and notes on it.

    `variables` go before those of the shell and of the file `.env`. Raises UsageError with compose's own words.
    """
    for file in files:
        if not file.is_file():
            raise UsageError(f"[docker] compose: there is no file {file}", remedy="name the project's compose file")
    for command in COMMANDS:
        if (answer := _ask(command, files, variables)) is None:
            continue
        if answer.returncode:
            raise UsageError(
                f"[docker] compose: {' '.join(answer.stderr.split())[-600:]}",
                remedy=f"correct {files[-1].name}, until this succeeds: docker compose -f {files[0]} config --quiet",
            )
        unset = [
            f"the variable {name} is not set and is empty" for name in sorted({*UNSET_VARIABLE.findall(answer.stderr)})
        ]
        return _unescaped(json.loads(answer.stdout)), (*unset, *_overrides_beside(files))
    return _read_simple(files), _overrides_beside(files)


def _ask(
    command: tuple[str, ...], files: tuple[Path, ...], variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str] | None:
    """Return the answer of `config`, None without the program."""
    if not shutil.which(command[0]):
        return None
    named = [word for file in files for word in ("-f", str(file))]
    try:
        version = subprocess.run(
            [*command, "version"], capture_output=True, timeout=CONFIG_SECONDS, check=False, env=_environment({})
        )
        if version.returncode:
            return None
        return subprocess.run(
            [*command, *named, "--profile", "*", "config", "--format", "json"],
            env=_environment(variables),
            capture_output=True,
            text=True,
            timeout=CONFIG_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"[docker] compose: {' '.join(command)} config did not end within {CONFIG_SECONDS:g} s",
            remedy="try it by hand; nothing was touched",
        ) from error


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    # A COMPOSE_FILE of the shell names other files than the settings do.
    return {name: value for name, value in os.environ.items() if name != "COMPOSE_FILE"} | dict(variables)


def _unescaped(value: Any) -> Any:
    """Return the value with each `$$`, which compose writes for a dollar sign, as one dollar sign."""
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, dict):
        return {key: _unescaped(each) for key, each in value.items()}
    return [_unescaped(each) for each in value] if isinstance(value, list) else value


def _overrides_beside(files: tuple[Path, ...]) -> tuple[str, ...]:
    """Return a note on each override file that an everyday `docker compose` reads and the settings do not name."""
    folder = files[0].parent
    names = ("docker-compose.override.yml", "docker-compose.override.yaml", "compose.override.yml")
    others = [folder / name for name in names if (folder / name).is_file() and folder / name not in files]
    return tuple(f"{file.name} is not read; name it in [docker] compose if slots need it" for file in others)


def _read_simple(files: tuple[Path, ...]) -> dict[str, Any]:
    """Return the document without help from compose. Raises UsageError if that could not be done correctly."""
    import yaml

    if len(files) != 1:
        raise _needs_compose("several files are merged")
    try:
        document = yaml.safe_load(files[0].read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UsageError(
            f"[docker] compose: {files[0]} is not YAML: {' '.join(str(error).split())}", remedy="correct the file"
        ) from error
    if not isinstance(document, dict) or not isinstance(document.get("services"), dict):
        raise UsageError(f"[docker] compose: {files[0]} has no services", remedy="name a compose file")
    for found in _beyond_simple(document):
        raise _needs_compose(found)
    return _with_names(_unescaped(document), files[0].parent)


def _beyond_simple(value: Any) -> Iterator[str]:
    if isinstance(value, str) and "$" in value.replace("$$", ""):
        yield f"it has the variable in {value!r}"
    if isinstance(value, dict):
        yield from (f"it has {key}" for key in value if key in COMPOSE_ONLY)
        for each in value.values():
            yield from _beyond_simple(each)
    if isinstance(value, list):
        for each in value:
            yield from _beyond_simple(each)


def _needs_compose(reason: str) -> UsageError:
    return UsageError(
        f"[docker] compose: the file is read with `docker compose config`, which is missing here, and {reason}",
        remedy="install the compose plugin of Docker; nothing was touched",
    )


def _with_names(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Add what compose adds: the project's name, its networks' and volumes' names, and the default network."""
    derived = re.sub(r"[^a-z0-9_-]", "", folder.resolve().name.lower()).lstrip("_-")
    project = os.environ.get("COMPOSE_PROJECT_NAME") or str(document.get("name") or derived)
    named: dict[str, Any] = {"name": project}
    for section in ("networks", "volumes"):
        rows = {**({"default": None} if section == "networks" else {}), **(document.get(section) or {})}
        named[section] = {
            key: {"name": key if (row or {}).get("external") else f"{project}_{key}", **(row or {})}
            for key, row in rows.items()
        }
    services = {
        name: {
            **(service or {}),
            "environment": _from_shell((service or {}).get("environment")),
            "networks": (service or {}).get("networks") or {"default": None},
            "build": _build_of((service or {}).get("build"), folder),
        }
        for name, service in document["services"].items()
    }
    return {**document, **named, "services": services}


def _from_shell(environment: Any) -> dict[str, str | None]:
    """Return the environment. A name without a value has the shell's value."""
    found = pairs_of(environment)
    return {name: os.environ.get(name) if value is None else value for name, value in found.items()}


def _build_of(build: Any, folder: Path) -> dict[str, Any] | None:
    if not build:
        return None
    row = {"context": build} if isinstance(build, str) else dict(build)
    return row | {"context": str((folder / str(row.get("context", "."))).resolve())}
