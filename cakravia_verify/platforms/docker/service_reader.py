"""Read the definition of one service from a compose document in which variables are replaced."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cakravia_verify.errors import UsageError
from cakravia_verify.platforms.docker.compose_inner import NOTHING, notes_on_inner_keys
from cakravia_verify.platforms.docker.compose_keys import (
    BUILD_KEYS,
    DISCOVERY_LABELS,
    DISCOVERY_VARIABLES,
    Treatment,
    rule_for,
)
from cakravia_verify.platforms.docker.compose_mounts import configs_of, mounts_of, secrets_of, tmpfs_of
from cakravia_verify.platforms.docker.compose_values import (
    bytes_of,
    is_true,
    pairs_of,
    seconds_of,
    text_of,
    texts_of,
    words_of,
)
from cakravia_verify.platforms.docker.service import Dependency, Healthcheck, ServiceDefinition, Ulimit

OUR_LABELS: Final = ("com.docker.compose.", "cakravia.")


def read_service(
    document: Mapping[str, Any],
    service: str,
    *,
    root: Path,
    configs: Path,
    own: Mapping[str, Any],
    of_site: Collection[str] = (),
) -> ServiceDefinition:
    """Return the definition of `service`. `own` are keys of [docker], in the notation of compose; they go first.

    `of_site` are the services that are parts of the site. A network of the project that only they are in is left out:
    compose makes it with the first of its services, and the site has a network of its own.
    `root` is the start of relative paths. `configs` is the folder for configs with a content. Raises UsageError with
    the key, the reason and the remedy.
    """
    written = (document.get("services") or {}).get(service) or {}
    notes = [*_notes_on(written, own), *_notes_on_discovery(written)]
    given = {**written, **own}
    mounts, volumes = mounts_of(given.get("volumes") or (), document.get("volumes") or {}, root=root)
    alone = sorted(_networks_without_others(document, {service, *of_site}) & set(given.get("networks") or ()))
    notes += [f"networks: {name} is left out: no other service is in it" for name in alone]
    limits = ((given.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    environment = pairs_of(given.get("environment"))
    notes += [f"environment: {name} has no value here and is left out" for name, v in environment.items() if v is None]
    return ServiceDefinition(
        project=str(document.get("name", "")),
        command=words_of(given.get("command")),
        entrypoint=words_of(given.get("entrypoint")),
        working_dir=str(given.get("working_dir") or ""),
        user=text_of(given.get("user") or ""),
        environment={
            name: value for name, value in environment.items() if value is not None and name not in DISCOVERY_VARIABLES
        },
        labels={
            name: value or ""
            for name, value in pairs_of(given.get("labels")).items()
            if not name.startswith((*OUR_LABELS, *DISCOVERY_LABELS))
        },
        mounts=mounts,
        volumes=volumes,
        writable=tuple(given.get("writable") or ()),
        tmpfs=tmpfs_of(given.get("tmpfs")),
        networks=tuple(_networks_of(given.get("networks"), document.get("networks") or {}, but=alone)),
        extra_hosts=tuple(
            f"{name}:{address}" for name, address in pairs_of(given.get("extra_hosts"), separators="=:").items()
        ),
        dns=texts_of(given.get("dns")),
        dns_search=texts_of(given.get("dns_search")),
        dns_opt=texts_of(given.get("dns_opt")),
        ulimits=tuple(_ulimits_of(given.get("ulimits") or {})),
        sysctls={name: value or "" for name, value in pairs_of(given.get("sysctls")).items()},
        shm_size=bytes_of(given.get("shm_size")),
        group_add=texts_of(given.get("group_add")),
        devices=tuple(map(_device, given.get("devices") or ())),
        cap_add=texts_of(given.get("cap_add")),
        read_only=is_true(own.get("read_only", True)) or is_true(written.get("read_only")),
        init=is_true(given.get("init", True)),
        healthcheck=_healthcheck_of(given.get("healthcheck")),
        stop_signal=str(given.get("stop_signal") or ""),
        grace=round(seconds_of(given.get("stop_grace_period"))),
        memory=bytes_of(given.get("mem_limit") or limits.get("memory")),
        cpus=float(given.get("cpus") or limits.get("cpus") or 0),
        pids=int(given.get("pids_limit") or limits.get("pids") or 0),
        secrets=secrets_of(given.get("secrets") or (), document.get("secrets") or {}),
        configs=configs_of(given.get("configs") or (), document.get("configs") or {}, folder=configs, root=root),
        needs=tuple(_needs_of(given.get("depends_on") or {})),
        notes=tuple(notes),
    )


def refusals(written: Mapping[str, Any], *, allowed: Collection[str] = ()) -> Iterator[str]:
    """Yield one line for each key that makes a service unfit for a slot, except the allowed ones."""
    rows = [(key, rule_for(key), value) for key, value in written.items()]
    if isinstance(build := written.get("build"), Mapping):
        rows += [(f"build.{key}", BUILD_KEYS.get(key), value) for key, value in build.items()]
    for key, rule, value in rows:
        if rule is None or rule.treatment is not Treatment.REFUSED or key in allowed:
            continue
        if value not in NOTHING:
            yield f"{key}: {rule.reason}"


def _notes_on(written: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[str]:
    for key, value in written.items():
        rule = rule_for(key)
        if rule is None or value in NOTHING:
            continue
        if key in own:
            yield f"{key}: the settings say otherwise: {own[key]}"
        elif rule.treatment in (Treatment.OVERRIDDEN, Treatment.UNSUPPORTED):
            yield f"{key}: {rule.treatment}: {rule.reason}"
    if not is_true(written.get("read_only")) and "read_only" not in own:
        yield "read_only: the root of a slot is read-only; see [docker] writable, tmpfs and read_only"
    yield from notes_on_inner_keys({key: value for key, value in written.items() if key not in own})


def _notes_on_discovery(written: Mapping[str, Any]) -> Iterator[str]:
    left = [name for name in pairs_of(written.get("labels")) if name.startswith(DISCOVERY_LABELS)]
    left += [name for name in pairs_of(written.get("environment")) if name in DISCOVERY_VARIABLES]
    if left:
        yield (
            f"{', '.join(sorted(left))}: left out: another proxy would send users to both slots, also to an unproven "
            "candidate; point that proxy at [proxy] listen"
        )


def _networks_without_others(document: Mapping[str, Any], ours: Collection[str]) -> set[str]:
    """Return the project's own networks that no service beside ours is in."""
    services = (document.get("services") or {}).items()
    used = {key for name, row in services if name not in ours for key in (row or {}).get("networks") or ()}
    named = (document.get("networks") or {}).items()
    return {key for key, described in named if not (described or {}).get("external")} - used


def _networks_of(value: Any, named: Mapping[str, Any], *, but: Collection[str]) -> Iterator[str]:
    """Yield the names in the engine. A name that the file does not describe is a name in the engine."""
    for key in (key for key in value or () if key not in but):
        described = named.get(key)
        yield str((described or {}).get("name", key))


def _ulimits_of(value: Mapping[str, Any]) -> Iterator[Ulimit]:
    for name, limit in value.items():
        both = limit if isinstance(limit, Mapping) else {"soft": limit, "hard": limit}
        yield Ulimit(str(name), int(both["soft"]), int(both["hard"]))


def _device(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    return f"{value['source']}:{value.get('target', value['source'])}:{value.get('permissions', 'rwm')}"


def _healthcheck_of(value: Mapping[str, Any] | None) -> Healthcheck | None:
    if not value:
        return None
    if is_true(value.get("disable")):
        return Healthcheck(("NONE",))
    test = value.get("test") or ()
    return Healthcheck(
        ("CMD-SHELL", test) if isinstance(test, str) else tuple(map(str, test)),
        interval=seconds_of(value.get("interval")),
        timeout=seconds_of(value.get("timeout")),
        start_period=seconds_of(value.get("start_period")),
        retries=int(value.get("retries") or 0),
    )


def _needs_of(value: Any) -> Iterator[Dependency]:
    rows = value if isinstance(value, Mapping) else {str(name): {} for name in value}
    for name, row in rows.items():
        if (row or {}).get("required", True):
            yield Dependency(str(name), str((row or {}).get("condition", "service_started")))


def require_fit(document: Mapping[str, Any], service: str, *, file: str, allowed: Collection[str] = ()) -> None:
    """Raise UsageError if the file has no such service, or if a slot cannot be made of it.

    `allowed` are refused keys that do no harm here.
    """
    services = document.get("services") or {}
    if service not in services:
        known = ", ".join(sorted(services)) or "none"
        raise UsageError(
            f"{file} has no service {service or '(none is named)'}; it has: {known}",
            remedy='name the service that users reach: [docker] service = "web"',
        )
    if refused := list(refusals(services[service] or {}, allowed=allowed)):
        raise UsageError(
            f"service {service} of {file} cannot be part of a site:\n" + "\n".join(f"  {line}" for line in refused),
            remedy="change these keys; nothing was touched",
        )
