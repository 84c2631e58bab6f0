"""The monitor as a systemd service: the unit, log rotation, and where they go for the system and for a user."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from cakravia_verify.errors import CakraviaError, UsageError
from cakravia_verify.monitor.place import place_of
from cakravia_verify.monitor.state import read_state
from cakravia_verify.settings.models import Settings
from cakravia_verify.system.files import make_folder, write_atomically

DEFAULT_NAME: Final = "cakravia-monitor"
# The probe loop feeds the watchdog after each round.
WATCHDOG_LEAST: Final = 30.0
_BOOTED: Final = Path("/run/systemd/system")
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


class Scope(Enum):
    """Whose service it is: that of the whole machine, or of one user."""

    SYSTEM = "system"
    USER = "user"


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
        return ["systemctl", *(["--user"] if self.scope is Scope.USER else [])]


def installation_of(
    settings: Settings, scope: Scope, *, name: str = DEFAULT_NAME, into: Path = Path("/")
) -> Installation:
    """Return where the files of the service belong."""
    if scope is Scope.SYSTEM:
        return Installation(
            name,
            scope,
            unit=into / f"etc/systemd/system/{name}.service",
            logrotate=into / f"etc/logrotate.d/{name}",
            log=Path(f"/var/log/{name}.log"),
            log_file=into / f"var/log/{name}.log",
        )
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    folder = into / home.relative_to("/") if into != Path("/") else home
    log = place_of(settings).log
    return Installation(name, scope, folder / f"systemd/user/{name}.service", logrotate=None, log=log, log_file=log)


def install(
    settings: Settings, site_file: Path, installation: Installation, *, into: Path = Path("/")
) -> Iterator[str]:
    """Write the unit, log rotation and folders, and start the service. Yields a line for each thing done.

    Below another folder than `/` the files are written only. Raises UsageError.
    """
    _refuse_foreign_unit(settings, site_file, installation)
    owner = _owner_of(settings)
    place = place_of(settings)
    make_folder(place.folder)
    _give(place.folder, owner)
    log = installation.log
    files = {installation.unit: unit_text(settings, site_file, installation.scope, log=log, user=owner.pw_name)}
    if installation.logrotate is not None:
        group = grp.getgrgid(owner.pw_gid).gr_name
        files[installation.logrotate] = LOGROTATE.format(log=log, user=owner.pw_name, group=group)
    with _as_usage_error():
        for path, text in files.items():
            write_atomically(path, text.encode(), mode=0o644)
            yield f"wrote {path}"
        make_folder(installation.log_file.parent)
        installation.log_file.touch(mode=0o640)
        _give(installation.log_file, owner)
        service = {"name": installation.name, "scope": installation.scope.value, "log": str(log)}
        write_atomically(place.service_file, json.dumps(service).encode())
        _give(place.service_file, owner)
    if into == Path("/"):
        yield from _systemctl(installation, ("daemon-reload",), ("enable", "--now", installation.name))


def uninstall(settings: Settings, installation: Installation, *, into: Path = Path("/")) -> Iterator[str]:
    """Stop the service and remove what `install` wrote. Samples, alerts and logs stay. Yields a line for each thing."""
    if not installation.unit.exists():
        raise UsageError(
            f"{installation.unit} does not exist", remedy="name the scope and the name that it was installed with"
        )
    if into == Path("/"):
        yield from _systemctl(installation, ("disable", "--now", installation.name))
    with _as_usage_error():
        for path in filter(None, (installation.unit, installation.logrotate, place_of(settings).service_file)):
            if path.exists():
                path.unlink()
                yield f"removed {path}"
    if into == Path("/"):
        yield from _systemctl(installation, ("daemon-reload",))
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
    command = " ".join(_quoted(each) for each in (sys.executable, *arguments))
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
        f"WorkingDirectory={_escaped(str(settings.root))}",
        "Environment=PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=2",
        "Nice=5",
        "MemoryHigh=200M",
        "MemoryMax=400M",
        "TasksMax=128",
    ]
    if scope is Scope.SYSTEM:
        lines += [f"User={user}", *_engine_group(settings)]
    lines += [f"ReadWritePaths={' '.join(_quoted('-' + str(path)) for path in writable)}"]
    # A site below /tmp would not be there any more.
    if not str(settings.root).startswith(("/tmp/", "/var/tmp/")):  # noqa: S108
        lines.append("PrivateTmp=yes")
    wanted_by = "multi-user.target" if scope is Scope.SYSTEM else "default.target"
    return "\n".join(lines) + f"\n{SANDBOX}\n[Install]\nWantedBy={wanted_by}\n"


def _engine_group(settings: Settings) -> Sequence[str]:
    """The group that may use the engine's socket, for a site on Docker."""
    socket = Path("/var/run/docker.sock")
    if settings.site.platform != "docker" or not socket.exists() or (group := socket.stat().st_gid) == 0:
        return ()
    return (f"SupplementaryGroups={group}",)


def _refuse_foreign_unit(settings: Settings, site_file: Path, installation: Installation) -> None:
    with contextlib.suppress(OSError):
        if _quoted(str(site_file)) not in installation.unit.read_text(encoding="utf-8"):
            raise UsageError(
                f"{installation.unit} is the service of another site",
                remedy=f"choose another name: cakravia monitor install --name {DEFAULT_NAME}-{settings.site.name}",
            )


def _owner_of(settings: Settings) -> pwd.struct_passwd:
    """The user whose site it is: the owner of its state, else of its folder."""
    place = settings.state if settings.state.exists() else settings.root
    try:
        return pwd.getpwuid(place.stat().st_uid)
    except KeyError as error:
        raise UsageError(
            f"{place} belongs to a user that this machine does not know", remedy="give it to the user of the site"
        ) from error


def _give(path: Path, owner: pwd.struct_passwd) -> None:
    if os.geteuid() == 0:
        os.chown(path, owner.pw_uid, owner.pw_gid)


def _systemctl(installation: Installation, *commands: Sequence[str]) -> Iterator[str]:
    """Run the commands, or say what to type when systemd does not run here."""
    for command in commands:
        line = [*installation.systemctl, *command]
        if not _BOOTED.is_dir() or not shutil.which("systemctl"):
            yield f"systemd does not run here; type later: {' '.join(line)}"
            continue
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UsageError(
                f"{' '.join(line)}: {done.stderr.strip()}", remedy="see: journalctl -u " + installation.name
            )
        yield f"ran {' '.join(line)}"


@contextlib.contextmanager
def _as_usage_error() -> Iterator[None]:
    try:
        yield
    except CakraviaError:
        raise
    except OSError as error:
        raise UsageError(
            f"{error.filename or 'a file'} cannot be written: {error.strerror}",
            remedy="use sudo for a service of the machine, or --user for one of your own",
        ) from error


def _escaped(text: str) -> str:
    """`%` begins a specifier in a unit file."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    escaped = _escaped(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"'
