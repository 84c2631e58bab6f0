"""The file of `[app] env_file`: variables in the form that python-dotenv reads."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from dotenv.parser import Binding, parse_stream
from dotenv.variables import Variable, parse_variables

from cakravia_verify.errors import SettingsError


def read_env_file(path: Path, *, shell: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the file. No error contains a value.

    `${NAME}` is replaced by an earlier variable of the file, else by one of `shell`; not between single quotes. A name
    without `=` is passed on from `shell`. Raises SettingsError, with the line, if the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(
            f"[app] env_file: {path} cannot be read: {why}", remedy="name a file that the releasing user can read"
        ) from error
    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        line = binding.original.line + _blank_lines_before(binding)
        if binding.error or "\0" in binding.original.string:
            raise SettingsError(
                f"{path}, line {line} is not a variable", remedy='write NAME=value, or NAME="a value" with both quotes'
            )
        if binding.key is not None:
            found[binding.key] = _value_of(binding, found, shell=shell, where=f"{path}, line {line}")
    return found


def _value_of(binding: Binding, earlier: Mapping[str, str], *, shell: Mapping[str, str], where: str) -> str:
    if binding.value is None:
        return _known(str(binding.key), shell, where=where)
    if binding.original.string.partition("=")[2].lstrip().startswith("'"):
        return binding.value
    known = {**shell, **earlier}
    value = ""
    for part in parse_variables(binding.value):
        if isinstance(part, Variable) and part.default is None:
            value += _known(part.name, known, where=where)
        else:
            value += part.resolve(known)
    return value


def _known(name: str, known: Mapping[str, str], *, where: str) -> str:
    if name in known:
        return known[name]
    raise SettingsError(
        f"{where} needs {name}, which neither the file nor this shell has",
        remedy=f"export {name}, or give it a value in an earlier line of the file",
    )


def _blank_lines_before(binding: Binding) -> int:
    text = binding.original.string
    return text[: len(text) - len(text.lstrip())].count("\n")
