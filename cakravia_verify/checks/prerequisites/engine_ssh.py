"""The ssh connection to a remote engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, on_docker, problem


def _find(ground: Ground) -> Iterator[CheckFinding]:
    named = urlsplit(ground.settings.docker.host)
    target = f"{named.username}@{named.hostname}" if named.username else str(named.hostname)
    port = ["-p", str(named.port)] if named.port else []
    ran = ground.machine.run(["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", *port, target, "true"])
    if ran.status == 0:
        yield ok(f"ssh reaches {target}")
        return
    yield problem(
        f"ssh does not reach {target}: {' '.join(ran.output.split())[-200:] or f'status {ran.status}'}",
        needed="a login by key, without a question",
        remedy=f"make this succeed: ssh -o BatchMode=yes {' '.join([*port, target])} true",
    )


CHECK: Final = SiteCheck(
    "ssh",
    "ssh reaches the engine's machine",
    _find,
    applies=lambda settings: on_docker(settings) and settings.docker.host.startswith("ssh://"),
)
