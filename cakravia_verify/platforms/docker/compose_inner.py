"""The keys inside of a service's keys: which of them a slot takes over, and a note on each of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from cakravia_verify.platforms.docker.compose_keys import BUILD_KEYS, Treatment

# How compose says that nothing is set.
NOTHING: Final[tuple[Any, ...]] = (None, "", [], {}, False)
# What is taken over at each place. `*` is any name or number: every network, every row of volumes.
INNER_KEYS: Final[Mapping[tuple[str, ...], frozenset[str]]] = {
    ("healthcheck",): frozenset({"test", "interval", "timeout", "start_period", "retries", "disable"}),
    ("deploy",): frozenset({"resources"}),
    ("deploy", "resources"): frozenset({"limits"}),
    ("deploy", "resources", "limits"): frozenset({"cpus", "memory", "pids"}),
    # `restart` says what compose does to this service when it changes the other one.
    ("depends_on", "*"): frozenset({"condition", "required", "restart"}),
    ("networks", "*"): frozenset(),
    ("build", "secrets", "*"): frozenset({"source", "target"}),
    ("secrets", "*"): frozenset({"source", "target"}),
    ("configs", "*"): frozenset({"source", "target"}),
    # `consistency` has no effect on Linux.
    ("volumes", "*"): frozenset({"type", "source", "target", "read_only", "consistency", "bind", "volume", "tmpfs"}),
    # A missing source is an error of its own.
    ("volumes", "*", "bind"): frozenset({"propagation", "create_host_path"}),
    ("volumes", "*", "volume"): frozenset({"nocopy"}),
    ("volumes", "*", "tmpfs"): frozenset({"size", "mode"}),
    ("devices", "*"): frozenset({"source", "target", "permissions"}),
    ("ulimits", "*"): frozenset({"soft", "hard"}),
}
REASONS: Final = {
    "aliases": "they would send the project's requests to an unproven candidate",
    "ipv4_address": "two slots cannot have one address",
    "ipv6_address": "two slots cannot have one address",
    "mac_address": "two slots cannot have one address",
    "uid": "a slot's secrets belong to its user",
    "gid": "a slot's secrets belong to its user",
}


def notes_on_inner_keys(written: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for each key inside of a key that is not taken over, with every place where it is."""
    found: dict[str, list[str]] = {}
    for path in _left(written, ()):
        shown = ".".join(part for part in path[:-1] if not part.isdigit())
        found.setdefault(path[-1], [])
        found[path[-1]] += [] if shown in found[path[-1]] else [shown]
    for key, places in found.items():
        reason = f": {REASONS[key]}" if key in REASONS else ""
        yield f"{', '.join(places)}: not supported: {key}{reason}"


def notes_on_build(build: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for each key of a build that is not taken over."""
    if build.get("ssh") and list(build["ssh"]) != ["default"]:
        yield f"build.ssh: {BUILD_KEYS['ssh'].reason}"
    for key, value in build.items():
        rule = BUILD_KEYS.get(key)
        if value in NOTHING or key.startswith("x-") or (rule and rule.treatment is Treatment.TAKEN):
            continue
        yield f"build.{key}: {rule.treatment}: {rule.reason}" if rule else f"build.{key}: the key is unknown"


def _left(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the path to each key that is set and not taken over."""
    for name, each in _items(value):
        here = (*path, name)
        taken = _taken(path)
        if taken is not None and name not in taken and not name.startswith("x-"):
            yield from (() if each in NOTHING else (here,))
        elif not path or taken is not None or _is_above(here):
            yield from _left(each, here)


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(key), each) for key, each in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from ((str(number), each) for number, each in enumerate(value) if isinstance(each, Mapping))


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    return all(there in ("*", here) for here, there in zip(path, pattern, strict=False))


def _taken(path: tuple[str, ...]) -> frozenset[str] | None:
    """Return what is taken over at the place, None if every name is allowed there."""
    return next((keys for place, keys in INNER_KEYS.items() if len(place) == len(path) and _matches(path, place)), None)


def _is_above(path: tuple[str, ...]) -> bool:
    return any(len(place) >= len(path) and _matches(path, place) for place in INNER_KEYS)
