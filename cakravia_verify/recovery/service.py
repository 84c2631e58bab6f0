"""The supervisor as a systemd service: it starts with the machine, and the site with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from cakravia_verify.command_options import with_options
from cakravia_verify.errors import UsageError
from cakravia_verify.settings.models import Settings
from cakravia_verify.system.files import write_atomically
from cakravia_verify.system.service_units import (
    Scope,
    as_usage_error,
    engine_group,
    escaped,
    owner_of,
    quoted,
    run_systemctl,
)


def service_name(settings: Settings) -> str:
    """Return the name of the site's service. Several sites of one machine have several."""
    return f"cakravia-{settings.site.name}"


def install(settings: Settings, site_file: Path, scope: Scope, *, into: Path = Path("/")) -> Iterator[str]:
    """Write the unit and start the service. Yields a line for each thing done. Raises UsageError.

    Below another folder than `/` the unit is written only.
    """
    name = service_name(settings)
    unit = scope.unit_file(name, into=into)
    if unit.exists() and quoted(str(site_file)) not in unit.read_text(encoding="utf-8", errors="replace"):
        raise UsageError(
            f"{unit} is the service of another site of the same name",
            remedy="give each site of this machine a [site] name of its own",
        )
    with as_usage_error():
        write_atomically(unit, unit_text(settings, site_file, scope).encode(), mode=0o644)
    yield f"wrote {unit}"
    if into == Path("/"):
        yield from run_systemctl(scope, ("daemon-reload",), ("enable", "--now", name), name=name)
    if settings.site.platform == "docker" and settings.docker.restart == "no":
        yield 'note: [docker] restart = "no": only the supervisor starts containers again'
    if scope is Scope.USER:
        yield "a service of your own starts with the machine only after: loginctl enable-linger"


def uninstall(settings: Settings, scope: Scope, *, into: Path = Path("/")) -> Iterator[str]:
    """Stop the service and remove its unit. The site keeps running. Yields a line for each thing done."""
    name = service_name(settings)
    unit = scope.unit_file(name, into=into)
    if not unit.exists():
        raise UsageError(
            f"{unit} does not exist", remedy="name the scope with which it was installed: --user, --system"
        )
    if into == Path("/"):
        yield from run_systemctl(scope, ("disable", "--now", name), name=name)
    with as_usage_error():
        unit.unlink()
    yield f"removed {unit}"
    if into == Path("/"):
        yield from run_systemctl(scope, ("daemon-reload",), name=name)
    yield with_options("the site keeps running; cakravia down stops it")


def unit_text(settings: Settings, site_file: Path, scope: Scope) -> str:
    """Return the unit. Slots and nginx outlive the supervisor: systemd ends its own process alone (KillMode)."""
    owner = owner_of(settings.state, settings.root)
    arguments = ("-m", "cakravia_verify.cli", "--site", str(site_file), "supervise")
    lines = [
        "[Unit]",
        f"Description=Cakravia site {settings.site.name}",
        "Documentation=https://github.com/cakravia/cakravia-verify",
        "After=network-online.target docker.service",
        "Wants=network-online.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        "Restart=always",
        "RestartSec=2",
        "KillMode=process",
        "TimeoutStopSec=120",
        f"ExecStart={' '.join(quoted(each) for each in (sys.executable, *arguments))}",
        f"WorkingDirectory={escaped(str(settings.root))}",
        "Environment=PYTHONUNBUFFERED=1",
        # Slots and nginx inherit this limit from the service that starts them.
        "LimitNOFILE=65536",
    ]
    if scope is Scope.SYSTEM:
        lines += [f"User={owner.pw_name}", *(engine_group() if settings.site.platform == "docker" else ())]
    return "\n".join(lines) + f"\n\n[Install]\nWantedBy={scope.wanted_by}\n"
