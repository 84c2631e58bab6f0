"""A throw-away site of the reference application, for a benchmark."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cakravia_verify.testing.throwaway_site import REPOSITORY, ThrowawaySite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What users will ask, asked once before any of them comes: the first answer of a kind may have to load code.
SMOKE = [
    {"path": "/", "contains": "Cakravia"},
    {"path": "/api/download?bytes=16384"},
    {"method": "POST", "path": "/api/echo", "body": "smoke", "contains": "smoke"},
]
DEFAULTS: dict[str, dict[str, Any]] = {
    "app": {
        "command": ["{python}", "-m", "reference_app"],
        "source": str(REPOSITORY / "examples" / "reference_app"),
        "directory": "..",
    },
    "slots": {"blue": "$blue", "green": "$green"},
    "proxy": {"listen": "127.0.0.1:$users"},
    "release": {"smoke": SMOKE},
    "traffic": {"profile": "reference"},
}
PORTS = ("$blue", "$green")


@contextlib.contextmanager
def throwaway_site(
    settings: Mapping[str, Mapping[str, Any]],
    *,
    defaults: Mapping[str, Mapping[str, Any]] = DEFAULTS,
    keep: Path | None = None,
) -> Iterator[ThrowawaySite]:
    """A site that does not run yet; what runs of it at the end is stopped.

    `settings` maps sections to keys and values, beside `defaults`. `keep` is a folder that stays, for a look at the
    evidence.
    """
    merged = {name: {**defaults.get(name, {}), **settings.get(name, {})} for name in {**defaults, **settings}}
    site = ThrowawaySite(keep or Path(tempfile.mkdtemp(prefix="cakravia-benchmark-")), _as_toml(merged))
    try:
        yield site
    finally:
        site.cakravia("down")
        if keep is None:
            site.remove()


def _as_toml(settings: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for section, keys in settings.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {_value(value)}" for key, value in keys.items()]
    return "\n".join([*lines, ""])


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    # Texts, numbers and booleans are written alike in JSON and TOML.
    return value if value in PORTS else json.dumps(value)
