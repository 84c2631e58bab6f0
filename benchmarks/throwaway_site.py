"""A site of the reference application that nobody else knows: in a folder and on ports of its own, gone afterwards."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cakravia_verify.recovery.lifecycle import bring_down
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
SITE_FILE = "cakravia.toml"
# What users will ask, asked once before any of them comes: the first answer of a kind may have to load code.
SMOKE = [
    {"path": "/", "contains": "Cakravia"},
    {"path": "/api/download?bytes=16384"},
    {"method": "POST", "path": "/api/echo", "body": "smoke", "contains": "smoke"},
]
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


@contextlib.contextmanager
def throwaway_site(settings: Mapping[str, Mapping[str, Any]], *, keep: Path | None = None) -> Iterator[Path]:
    """The cakravia.toml of a site that does not run yet; whatever runs of it at the end is stopped.

    `settings` maps sections to keys and values, beside the reference application's own. `keep` is a folder that stays,
    for a look at the evidence.
    """
    folder = keep or Path(tempfile.mkdtemp(prefix="cakravia-benchmark-"))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / SITE_FILE
    file.write_text(_as_toml(_with_defaults(settings)), encoding="utf-8")
    try:
        yield file
    finally:
        bring_down(open_site(load_settings(file, environment={})))
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def _with_defaults(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    listen, blue, green = free_ports(3)
    merged: dict[str, dict[str, Any]] = {
        "app": {"source": str(ROOT / "examples" / "reference_app"), "directory": ".."},
        "slots": {"blue": blue, "green": green},
        "proxy": {"listen": f"127.0.0.1:{listen}"},
        "release": {"smoke": SMOKE},
    }
    for section, keys in settings.items():
        merged[section] = merged.get(section, {}) | dict(keys)
    return merged


def free_ports(number: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, outside the range that outgoing connections get theirs from.

    A slot's port has to be free again whenever the slot is replaced, while thousands of connections come and go.
    """
    lowest = 32_768
    with contextlib.suppress(OSError, ValueError):
        lowest = int(_PORT_RANGE.read_text().split()[0])
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < number:
            port = random.randrange(10_240, max(lowest, 10_340))
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
    return found


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
    return json.dumps(value)
