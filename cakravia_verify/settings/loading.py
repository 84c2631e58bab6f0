"""Load settings from TOML, environment and command line."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from cakravia_verify.errors import SettingsError
from cakravia_verify.settings.hooks import is_fact_of_a_hook
from cakravia_verify.settings.models import ENVIRONMENT_PREFIX, OTHER_ENVIRONMENT, Settings
from cakravia_verify.settings.policy import apply_policy
from cakravia_verify.settings.section import Section

# Fields of Settings that no file may set: the loader knows them.
_OWN_FIELDS = frozenset({"root", "file", "reviewed"})


def load_settings(
    path: Path, *, environment: Mapping[str, str] | None = None, overrides: Sequence[tuple[str, Any]] = ()
) -> Settings:
    """Load the settings of a site from the file `path`.

    `overrides` are (dotted key, value) pairs from the command line. Raises SettingsError with file, line and key.
    """
    environment = os.environ if environment is None else environment
    text = _read(path)
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}", remedy="correct that line of the file") from error
    origins: dict[str, str] = {}
    for name, value in sorted(environment.items()):
        if is_fact_of_a_hook(name, environment):
            continue
        if name.startswith(ENVIRONMENT_PREFIX) and not name.startswith(OTHER_ENVIRONMENT):
            _put(table, _key_of_variable(name), value, origin=f"environment variable {name}", origins=origins)
    for key, value in overrides:
        _put(table, key, value, origin=f"command line, {key}", origins=origins)
    for name in sorted(_OWN_FIELDS & set(table)):
        where = origins.get(name) or f"{path}{_line_of(text, [name])}"
        raise SettingsError(
            f"{where}: unknown key {name!r}", remedy="remove it; relative paths start from the folder of cakravia.toml"
        )
    _start_from(path.resolve().parent, table.get("proxy"), ("tls_certificate", "tls_key", "pages", "acme_webroot"))
    if isinstance(proxy := table.get("proxy"), dict):
        _start_from(path.resolve().parent, proxy.get("snippets"), ("http", "server", "locations"))
    reviewed = apply_policy(table, root=path.resolve().parent)
    try:
        return Settings(root=path.resolve().parent, file=path.resolve(), reviewed=reviewed, **table)
    except ValidationError as error:
        raise SettingsError(
            "\n".join(_explain(problem, path=path, text=text, origins=origins) for problem in error.errors()),
            remedy="correct it; cakravia.toml in the project's repository documents every key",
        ) from error


def _start_from(root: Path, section: Any, keys: Sequence[str]) -> None:
    """Make the paths absolute. nginx reads them, and it starts in another folder."""
    for key in keys:
        if isinstance(section, dict) and isinstance(value := section.get(key), str) and value:
            section[key] = str(root / value)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SettingsError(
            f"there is no {path}",
            remedy="change to the folder of your cakravia.toml, name it with --site FILE, or write one: cakravia init",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read: {error}", remedy="correct its permissions, or save it as UTF-8"
        ) from error


def _key_of_variable(name: str) -> str:
    section, _, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
    return f"{section}.{key}" if key else section


def _toml_value(text: str, *, is_text: bool) -> Any:
    """Parse a TOML value, or return plain text. If the key wants text, `512` and `true` are text too."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = table["value"]
    return text if len(table) > 1 or (is_text and not isinstance(value, str)) else value


def _put(table: dict[str, Any], key: str, value: Any, *, origin: str, origins: dict[str, str]) -> None:
    *sections, last = key.split(".")
    for section in sections:
        inner = table.setdefault(section, {})
        if not isinstance(inner, dict):
            raise SettingsError(
                f"{origin}: '{section}' is not a section",
                remedy="write the key as section.key, for example release.bake",
            )
        table = inner
    table[last] = _toml_value(value, is_text=_wants_text([*sections, last])) if isinstance(value, str) else value
    origins[key] = origin


def _wants_text(parts: Sequence[str]) -> bool:
    model = _model_at(parts[:-1])
    field = model.model_fields.get(parts[-1]) if model else None
    return field is not None and field.annotation is str


def _model_at(parts: Sequence[str]) -> type[Section] | None:
    """Return the model of the table at the end of the path; the numbers of tables in an array are passed over."""
    model: type[Section] | None = Settings
    for part in parts:
        if part.isdigit() or model is None:
            continue
        field = model.model_fields.get(part)
        model = _section_in(field.annotation) if field else None
    return model


def _section_in(annotation: Any) -> type[Section] | None:
    """Return the model that an annotation names, also in `tuple[Model, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _section_in(inner))), None)


def _explain(problem: Any, *, path: Path, text: str, origins: Mapping[str, str]) -> str:
    location = [str(part) for part in problem["loc"]]
    if not location and (named := re.search(r"\[(\w+)\] (\w+)", str(problem["msg"]))):
        location = [named[1], named[2]]
    key = ".".join(location)
    overriding = [
        origin for name, origin in origins.items() if f"{key}.".startswith(f"{name}.") or name.startswith(f"{key}.")
    ]
    is_own = any(f"{key}.".startswith(f"{name}.") for name in origins)
    line = _line_of(text, location)
    where = overriding[-1] if overriding and (is_own or not line) else f"{path}{line}"
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key {key!r}{_nearest(location)}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    shown = repr(problem.get("input"))
    got = f", got {shown if len(shown) < 80 else shown[:77] + '...'}" if problem["type"] != "value_error" else ""
    return f"{where}: {key}: {message}{got}" if key else f"{where}: {message}"


def _line_of(text: str, location: Sequence[str]) -> str:
    """Return the line of the key, or of the table that it is in, as text; "" if the file has neither.

    A key of a table written in one line, `steps = [{ path = "x" }]`, has the line of that table.
    """
    location, nearest, depth = [*location], "", 0
    for number, here in _keys_by_line(text):
        if here[: len(location)] == location:
            return f", line {number}"
        if here == location[: len(here)] and len(here) > depth:
            nearest, depth = f", line {number}", len(here)
    return nearest


def _keys_by_line(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line that begins a table or a key, and its path; `[[mix]]` counts its tables."""
    table: list[str] = []
    numbers: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*(\[+)\s*([\w.-]+)\s*\]+", line):
            table = header[2].split(".")
            if header[1] == "[[":
                table = [*table, str(numbers[header[2]])]
                numbers[header[2]] += 1
            yield number, table
        elif key := re.match(r"\s*([\w-]+)\s*=", line):
            yield number, [*table, key[1]]


def _nearest(location: Sequence[str]) -> str:
    model = _model_at(location[:-1])
    names = (
        [each.alias or name for name, each in model.model_fields.items() if name not in _OWN_FIELDS] if model else []
    )
    close = difflib.get_close_matches(location[-1], names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known here: {', '.join(names)}" if names else ""
