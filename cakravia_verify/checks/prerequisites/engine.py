"""The Docker engine: its version, and what it can limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, no_error, ok, on_docker, problem, warning

OLDEST_ENGINE: Final = 20
# What `docker info` says of limits that a slot needs, and what each is for.
LIMITS: Final = {
    "MemoryLimit": "[slots] memory_limit",
    "PidsLimit": "[docker] pids",
    "CpuCfsQuota": "[docker] cpus",
}


def _find(ground: Ground) -> Iterator[CheckFinding]:
    engine = ground.engine
    version = str(engine.version().get("Version") or "")
    facts = engine.facts()
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST_ENGINE:
        yield problem(
            f"the engine is Docker {version}",
            needed=f"Docker {OLDEST_ENGINE} or newer",
            remedy="update the engine: https://docs.docker.com/engine/install/",
        )
    else:
        yield ok(f"Docker {version} at {engine.host or 'the usual socket'}")
    for name, setting in LIMITS.items():
        if facts.get(name) is False:
            yield problem(
                f"the engine cannot limit what {setting} limits ({name} is false in docker info)",
                needed="a kernel with this control group",
                remedy="add the controller to the kernel's command line: cgroup_enable=memory swapaccount=1",
            )
    if facts.get("OSType") not in (None, "linux"):
        yield problem(
            f"the engine runs {facts.get('OSType')} containers",
            needed="an engine for Linux containers",
            remedy="switch the engine to Linux containers",
        )
    cores = int(facts.get("NCPU") or 0)
    if cores and ground.settings.docker.cpus > cores:
        yield problem(
            f"the engine has {cores} cores",
            needed=f"[docker] cpus = {ground.settings.docker.cpus:g}",
            remedy=f"set [docker] cpus to at most {cores}",
        )
    if facts.get("LiveRestoreEnabled") is False:
        yield warning(
            "the engine does not keep containers running while it restarts (live-restore is off)",
            needed='"live-restore": true, so that an update of the engine loses no request',
            remedy='write { "live-restore": true } into /etc/docker/daemon.json, then: sudo systemctl reload docker',
        )
    yield no_error(ground.site.proxy.check, found="the proxy's container can have its name and ports")


CHECK: Final = SiteCheck("engine", "The engine answers and can limit containers", _find, applies=on_docker)
