"""The monitor as a systemd service: the unit, log rotation, and where they go for the system and for a user."""

from __future__ import annotations

import contextlib
import grp
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cakravia_verify.errors import UsageError
from cakravia_verify.monitor.place import place_of
from cakravia_verify.monitor.state import read_state
from cakravia_verify.settings.models import Settings
from cakravia_verify.system.files import make_folder, write_atomically
from cakravia_verify.system.service_units import (
    Scope,
    as_usage_error,
    engine_group,
    escaped,
    give,
    owner_of,
    quoted,
    run_systemctl,
)

DEFAULT_NAME: Final = "cakravia-monitor"
# The probe loop feeds the watchdog after each round.
WATCHDOG_LEAST: Final = 30.0
# Seen by `systemd-analyze security`. Python needs no memory that is writable and executable.
SANDBOX: Final = """\
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=read-only
PrivateDevices=yes
DevicePolicy=closed
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077
"""
# The service may write its log file and nothing else in that folder: the file is copied and emptied.
LOGROTATE: Final = """\
{log} {{
    weekly
    rotate 8
    maxsize 10M
    missingok
    notifempty
    compress
    delaycompress
    copytruncate
    su {user} {group}
}}
"""


@dataclass(frozen=True)
class Installation:
    """Every file of an installed monitor. `log` is its name at run time, and `log_file` where it is made now."""

    name: str
    scope: Scope
    unit: Path
    logrotate: Path | None
    log: Path
    log_file: Path

    @property
    def systemctl(self) -> list[str]:
        return self.scope.systemctl


def installation_of(
    settings: Settings, scope: Scope, *, name: str = DEFAULT_NAME, into: Path = Path("/")
) -> Installation:
    """Return where the files of the service belong."""
    if scope is Scope.SYSTEM:
        return Installation(
            name,
            scope,
            unit=scope.unit_file(name, into=into),
            logrotate=into / f"etc/logrotate.d/{name}",
            log=Path(f"/var/log/{name}.log"),
            log_file=into / f"var/log/{name}.log",
        )
    log = place_of(settings).log
    return Installation(name, scope, scope.unit_file(name, into=into), logrotate=None, log=log, log_file=log)


def install(
    settings: Settings, site_file: Path, installation: Installation, *, into: Path = Path("/")
) -> Iterator[str]:
    """Write the unit, log rotation and folders, and start the service. Yields a line for each thing done.

    Below another folder than `/` the files are written only. Raises UsageError.
    """
    _refuse_foreign_unit(settings, site_file, installation)
    owner = owner_of(settings.state, settings.root)
    place = place_of(settings)
    make_folder(place.folder)
    give(place.folder, owner)
    log = installation.log
    files = {installation.unit: unit_text(settings, site_file, installation.scope, log=log, user=owner.pw_name)}
    if installation.logrotate is not None:
        group = grp.getgrgid(owner.pw_gid).gr_name
        files[installation.logrotate] = LOGROTATE.format(log=log, user=owner.pw_name, group=group)
    with as_usage_error():
        for path, text in files.items():
            write_atomically(path, text.encode(), mode=0o644)
            yield f"wrote {path}"
        make_folder(installation.log_file.parent)
        installation.log_file.touch(mode=0o640)
        give(installation.log_file, owner)
        service = {"name": installation.name, "scope": installation.scope.value, "log": str(log)}
        write_atomically(place.service_file, json.dumps(service).encode())
        give(place.service_file, owner)
    if into == Path("/"):
        yield from run_systemctl(
            installation.scope, ("daemon-reload",), ("enable", "--now", installation.name), name=installation.name
        )


def uninstall(settings: Settings, installation: Installation, *, into: Path = Path("/")) -> Iterator[str]:
    """Stop the service and remove what `install` wrote. Samples, alerts and logs stay. Yields a line for each thing."""
    if not installation.unit.exists():
        raise UsageError(
            f"{installation.unit} does not exist", remedy="name the scope and the name that it was installed with"
        )
    if into == Path("/"):
        yield from run_systemctl(installation.scope, ("disable", "--now", installation.name), name=installation.name)
    with as_usage_error():
        for path in filter(None, (installation.unit, installation.logrotate, place_of(settings).service_file)):
            if path.exists():
                path.unlink()
                yield f"removed {path}"
    if into == Path("/"):
        yield from run_systemctl(installation.scope, ("daemon-reload",), name=installation.name)
    yield f"kept {place_of(settings).folder} and {installation.log}"


def installed(settings: Settings) -> tuple[Scope, str] | None:
    """Return scope and name of the installed service, None when `monitor install` was not used here."""
    service = read_state(place_of(settings).service_file)
    if service.get("scope") not in {scope.value for scope in Scope}:
        return None
    return Scope(service["scope"]), str(service.get("name") or DEFAULT_NAME)


def unit_text(settings: Settings, site_file: Path, scope: Scope, *, log: Path, user: str) -> str:
    """Return the unit file."""
    place = place_of(settings)
    watchdog = max(WATCHDOG_LEAST, 10 * (settings.monitor.interval + settings.monitor.timeout))
    arguments = ("-m", "cakravia_verify.cli", "--site", str(site_file), "monitor", "run", "--log", str(log))
    command = " ".join(quoted(each) for each in (sys.executable, *arguments))
    writable = [settings.state, settings.reports, *([log.parent] if log.parent == place.folder else [log])]
    lines = [
        "[Unit]",
        f"Description=Cakravia monitor of {settings.site.name}",
        "Documentation=https://github.com/cakravia/cakravia-verify",
        "After=network-online.target docker.service",
        "Wants=network-online.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"WatchdogSec={watchdog:g}",
        "Restart=always",
        "RestartSec=2",
        f"ExecStart={command}",
        f"WorkingDirectory={escaped(str(settings.root))}",
        "Environment=PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=2",
        "Nice=5",
        "MemoryHigh=200M",
        "MemoryMax=400M",
        "TasksMax=128",
    ]
    if scope is Scope.SYSTEM:
        lines += [f"User={user}", *(engine_group() if settings.site.platform == "docker" else ())]
    lines += [f"ReadWritePaths={' '.join(quoted('-' + str(path)) for path in writable)}"]
    # A site below /tmp would not be there any more.
    if not str(settings.root).startswith(("/tmp/", "/var/tmp/")):  # noqa: S108
        lines.append("PrivateTmp=yes")
    return "\n".join(lines) + f"\n{SANDBOX}\n[Install]\nWantedBy={scope.wanted_by}\n"


def _refuse_foreign_unit(settings: Settings, site_file: Path, installation: Installation) -> None:
    with contextlib.suppress(OSError):
        if quoted(str(site_file)) not in installation.unit.read_text(encoding="utf-8"):
            raise UsageError(
                f"{installation.unit} is the service of another site",
                remedy=f"choose another name: cakravia monitor install --name {DEFAULT_NAME}-{settings.site.name}",
            )
