"""A throw-away copy of a site: its artifact and its settings, on other ports, with folders of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cakravia_verify.errors import UsageError
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.settings.models import ENVIRONMENT_PREFIX, Settings
from cakravia_verify.system.clock import SYSTEM_CLOCK
from cakravia_verify.testing.ports import free_ports
from cakravia_verify.testing.throwaway_site import Running

# Variables of the calling session, which would change a session that is started here.
_CALLERS_OWN: Final = ("PYTEST_", "COV_", "GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS")
# A release on a copy is short. Times in seconds, and requests per second.
BAKE: Final = 4.0
LONGEST_DRAIN: Final = 5.0
HIGHEST_RATE: Final = 60.0
MOST_USERS: Final = 30


@dataclass(frozen=True)
class CopiedVersion:
    """What runs in the copy: a retained version of the live site, its files and its command."""

    version: str
    source: Path
    command: Sequence[str]


class SiteCopy:
    """The copy of a site. It never has a folder or a port of the live site (`require_apart`).

    The copy has no hooks and no companions, because they reach what belongs to the live site. Its application has the
    variables of the live one, and `[failover] environment` replaces some of them. `pairs` are the KEY=VALUE options of
    the present command line.
    """

    def __init__(
        self, live: Settings, version: CopiedVersion, *, folder: Path, pairs: Sequence[tuple[str, Any]]
    ) -> None:
        self.folder = folder
        self.version = version.version
        self._file = live.file
        self._ports = free_ports(6)
        self._numbers = iter(range(1, 1_000_000))
        # The environment knows keys of two parts, and the command line wins over it.
        nested = [(key, value) for key, value in pairs if key.count(".") > 1 and not key.startswith("proxy.detour")]
        self._nested = [*nested, ("hooks", "[]"), ("companions", "[]")]
        plain = {key: value for key, value in pairs if key.count(".") == 1}
        self._values = {key: value if isinstance(value, str) else _toml(value) for key, value in plain.items()}
        self._values |= {key: _toml(value) for key, value in self._own_values(live, version).items()}
        self.settings = self._loaded({})
        require_apart(live, self.settings)
        self.detoured = self._loaded(self._detour)
        require_apart(live, self.detoured)

    def _own_values(self, live: Settings, version: CopiedVersion) -> dict[str, Any]:
        users, blue, green, tls, *_ = self._ports
        traffic, release = live.traffic, live.release
        rate = min(traffic.rate, HIGHEST_RATE)
        environment = {"DATA_DIR": str(self.folder / "data"), **live.app.environment, **live.failover.environment}
        values: dict[str, Any] = {
            "site.state": str(self.folder / "state"),
            "site.reports": str(self.folder / "reports"),
            "slots.host": "127.0.0.1",
            "slots.blue": blue,
            "slots.green": green,
            "proxy.listen": f"127.0.0.1:{users}",
            "app.source": str(version.source),
            "app.command": list(version.command),
            "app.build": [],
            "app.environment": environment,
            "release.bake": BAKE,
            "release.drain": min(release.drain, LONGEST_DRAIN),
            "release.backups": 0,
            "budget.min_requests": max(1, min(live.budget.min_requests, int(rate * BAKE / 2))),
            "budget.min_each": min(live.budget.min_each, 1),
            "traffic.curve": [],
            "traffic.rate": rate,
            "traffic.users": min(traffic.users, MOST_USERS),
            "traffic.processes": 1,
            "traffic.web_ui": "",
        }
        return values | ({"proxy.tls_listen": f"127.0.0.1:{tls}"} if live.proxy.tls_listen else {})

    @property
    def detour_ports(self) -> tuple[int, int]:
        """The ports between nginx and the slots, for blue and green."""
        return self._ports[4], self._ports[5]

    @property
    def _detour(self) -> dict[str, Any]:
        blue, green = self.detour_ports
        return {"proxy.detour": {"blue": blue, "green": green}}

    def environment(self, more: Mapping[str, Any] = {}) -> dict[str, str]:
        """Return the environment of a command for this copy. `more` are further settings."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_CALLERS_OWN)}
        values = self._values | {key: _toml(value) for key, value in more.items()}
        return inherited | {_variable(key): text for key, text in values.items()}

    def _loaded(self, more: Mapping[str, Any]) -> Settings:
        return load_settings(self._file, environment=self.environment(more), overrides=self._nested)

    def begin(self, *arguments: str, is_detoured: bool, more: Mapping[str, Any] = {}) -> Running:
        """Start a command of `cakravia` for this copy."""
        options = [word for key, value in self._nested for word in ("--set", f"{key}={value}")]
        command = [sys.executable, "-P", "-m", "cakravia_verify.cli", "--site", str(self._file), *options, *arguments]
        self.folder.mkdir(parents=True, exist_ok=True)
        output = self.folder / f"output-{next(self._numbers)}.txt"
        detour = self._detour if is_detoured else {}
        with output.open("wb") as written:
            process = subprocess.Popen(
                command,
                env=self.environment({**detour, **more}),
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
            )
        return Running(process, output, SYSTEM_CLOCK.monotonic())

    def end(self, running: Running) -> None:
        """End a command that still runs, and wait for its end."""
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            running.wait(60.0)


def require_apart(live: Settings, copy: Settings) -> None:
    """Raise UsageError if the copy has a folder, a port or a file of the live site."""
    shared = [*_shared_folders(live, copy), *_shared_ports(live, copy)]
    if copy.hooks or copy.companions:
        shared.append("hooks or companions")
    if shared:
        raise UsageError(
            f"the copy would share {', '.join(shared)} with the live site",
            remedy="nothing was done; report this defect",
        )


def _shared_folders(live: Settings, copy: Settings) -> Iterator[str]:
    theirs = (live.state.resolve(), live.reports.resolve())
    for mine in (copy.state.resolve(), copy.reports.resolve()):
        for other in theirs:
            if mine.is_relative_to(other) or other.is_relative_to(mine):
                yield str(mine)


def _shared_ports(live: Settings, copy: Settings) -> Iterator[str]:
    yield from (f"port {port}" for port in sorted(_ports_of(live) & _ports_of(copy)))


def _ports_of(settings: Settings) -> set[int]:
    detour, tls = settings.proxy.detour, settings.proxy.tls_address
    ports = {settings.proxy.address.port, settings.slots.blue, settings.slots.green, detour.blue, detour.green}
    return (ports | ({tls.port} if tls else set())) - {0}


def _variable(key: str) -> str:
    return ENVIRONMENT_PREFIX + key.replace(".", "_").upper()


def _toml(value: Any) -> str:
    """Return the value as TOML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
