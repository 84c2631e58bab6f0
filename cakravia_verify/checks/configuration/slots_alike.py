"""The two slots differ only in what must differ: name, address, version, release."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, problem
from cakravia_verify.slots import Colour, Slot
from cakravia_verify.system.processes import process_named

MUST_DIFFER: Final = frozenset({
    *("APP_VERSION", "CAKRAVIA_DIGEST", "DEPLOYMENT_SLOT", "DEPLOYMENT_RELEASE", "DEPLOYMENT_TIMESTAMP"),
    *("DEPLOYMENT_ROLE_FILE", "HOST", "HOSTNAME", "PORT", "REQUEST_LOG", "PWD", "OLDPWD", "SHLVL", "_"),
})  # fmt: skip
# What `docker inspect` says of a container under HostConfig that a release sets.
HOST_KEYS: Final = (
    *("Memory", "MemorySwap", "NanoCpus", "PidsLimit", "ReadonlyRootfs", "CapAdd", "CapDrop", "SecurityOpt"),
    *("RestartPolicy", "LogConfig", "Tmpfs", "Ulimits", "ShmSize", "Init", "ExtraHosts", "Dns", "GroupAdd", "Devices"),
)
CONFIG_KEYS: Final = ("User", "WorkingDir", "StopSignal", "StopTimeout")


def _find(ground: Ground) -> Iterator[CheckFinding]:
    slots = [ground.site.platform.observe(colour) for colour in Colour]
    blue, green = slots
    if blue is None or green is None:
        yield ok("one slot is empty")
        return
    definition = _of_container if ground.settings.site.platform == "docker" else _of_process
    differing = different(definition(ground, blue), definition(ground, green))
    if differing:
        yield problem(
            f"blue ({blue.version}) and green ({green.version}) differ in {', '.join(differing)}",
            needed="slots of one definition: a rollback would bring the other one back as well",
            remedy="if the settings changed on purpose, the next release evens it out; else deploy the version again: "
            f"cakravia deploy {ground.site.platform.retained()[0].version if ground.site.platform.retained() else 'V'} "
            "--redeploy",
        )
        return
    yield ok("both slots are of one definition")


def different(blue: Mapping[str, Any], green: Mapping[str, Any]) -> list[str]:
    """Return the names of what differs, without what must. No value is named: it may be a secret."""
    names = sorted({*blue, *green} - MUST_DIFFER)
    return [name for name in names if blue.get(name) != green.get(name)]


def _of_process(ground: Ground, slot: Slot) -> dict[str, Any]:
    process = process_named(slot.identity)
    return dict(process.environ()) if process is not None else {}


def _of_container(ground: Ground, slot: Slot) -> dict[str, Any]:
    project = ground.settings.docker.project or ground.settings.site.name
    attributes = ground.engine.attributes(f"{project}-app-{slot.colour}")
    environment = dict(row.partition("=")[::2] for row in attributes["Config"].get("Env") or ())
    own = {f"HostConfig.{key}": json.dumps(attributes["HostConfig"].get(key), sort_keys=True) for key in HOST_KEYS}
    config = {f"Config.{key}": attributes["Config"].get(key) for key in CONFIG_KEYS}
    networks = {"networks": sorted(attributes["NetworkSettings"]["Networks"])}
    return {**environment, **own, **config, **networks}


CHECK: Final = SiteCheck("slots", "The slots differ only in what must differ", _find)
