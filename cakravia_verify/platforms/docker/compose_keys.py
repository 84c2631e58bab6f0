"""What a slot takes over of a service in a compose file, key by key. docs/DOCKER.md shows this table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Treatment(StrEnum):
    """What happens to a key of the project's service."""

    TAKEN = "taken over"
    OVERRIDDEN = "overridden"
    REFUSED = "refused"
    UNSUPPORTED = "not supported"


@dataclass(frozen=True)
class KeyRule:
    """The treatment of one key. `reason` says why, and what to use instead."""

    treatment: Treatment
    reason: str = ""


_TAKEN = KeyRule(Treatment.TAKEN)


def _overridden(reason: str) -> KeyRule:
    return KeyRule(Treatment.OVERRIDDEN, reason)


def _refused(reason: str) -> KeyRule:
    return KeyRule(Treatment.REFUSED, reason)


def _unsupported(reason: str) -> KeyRule:
    return KeyRule(Treatment.UNSUPPORTED, reason)


_BLKIO: Final = _unsupported("the slot has no limit of its input and output")
_CPU: Final = _unsupported("cpus limits the slot; set cpus or [docker] cpus")
_HOST_NAMESPACE: Final = _refused("a slot in a namespace of the machine is not isolated; remove the key")

COMPOSE_KEYS: Final = {
    "build": KeyRule(Treatment.TAKEN, "its keys are below; [docker] image, context or archive go first"),
    "image": KeyRule(Treatment.TAKEN, "if there is no build; name the version in it, see [docker] compose_variables"),
    "command": _TAKEN,
    "entrypoint": _TAKEN,
    "working_dir": _TAKEN,
    "user": KeyRule(Treatment.TAKEN, "it must not be root"),
    "group_add": _TAKEN,
    "environment": KeyRule(Treatment.TAKEN, "[app] environment and the variables of a slot go first"),
    "env_file": _TAKEN,
    "labels": KeyRule(Treatment.TAKEN, "except labels by which another proxy would send users to both slots"),
    "label_file": _TAKEN,
    "volumes": KeyRule(Treatment.TAKEN, "both slots mount them"),
    "tmpfs": _TAKEN,
    "networks": KeyRule(Treatment.TAKEN, "beside the site's own network, without the service's names"),
    "extra_hosts": _TAKEN,
    "dns": _TAKEN,
    "dns_search": _TAKEN,
    "dns_opt": _TAKEN,
    "ulimits": _TAKEN,
    "sysctls": _TAKEN,
    "shm_size": _TAKEN,
    "devices": _TAKEN,
    "cap_add": KeyRule(Treatment.TAKEN, "without root, only those that a process without root can use have an effect"),
    "init": _TAKEN,
    "healthcheck": _TAKEN,
    "stop_signal": _TAKEN,
    "stop_grace_period": KeyRule(Treatment.TAKEN, "unless [app] grace is set"),
    "secrets": KeyRule(Treatment.TAKEN, "as files in /run/secrets, with mode 0400, for the slot's user"),
    "configs": KeyRule(Treatment.TAKEN, "as read-only files; not with a remote engine"),
    "depends_on": KeyRule(Treatment.TAKEN, "the states are checked; no service is started or stopped"),
    "mem_limit": KeyRule(Treatment.TAKEN, "unless [slots] memory_limit is set"),
    "cpus": KeyRule(Treatment.TAKEN, "unless [docker] cpus is set"),
    "pids_limit": KeyRule(Treatment.TAKEN, "unless [docker] pids is set"),
    "deploy": KeyRule(Treatment.TAKEN, "only resources.limits: memory, cpus and pids"),
    "read_only": KeyRule(Treatment.TAKEN, "if it is true; read-only is also the default, see [docker] read_only"),
    "platform": KeyRule(Treatment.TAKEN, "unless [docker] platform is set"),
    "profiles": KeyRule(Treatment.TAKEN, "the service is used whatever its profiles are"),
    "extends": _TAKEN,
    "expose": KeyRule(Treatment.TAKEN, "without effect: [docker] port names the port"),
    "attach": KeyRule(Treatment.TAKEN, "without effect on a container in the background"),
    "develop": KeyRule(Treatment.TAKEN, "without effect outside of `docker compose watch`"),
    "cap_drop": _overridden("a slot has no capabilities, except those of cap_add"),
    "memswap_limit": _overridden("a slot has no swap"),
    "restart": _overridden("[docker] restart is used"),
    "logging": _overridden("[docker] log_max_size and log_max_file are used"),
    "scale": _overridden("a site has two slots, and one of them serves users"),
    "pull_policy": _overridden("[docker] pull is used"),
    "pull_refresh_after": _overridden("[docker] pull is used"),
    "security_opt": _overridden("a slot has no-new-privileges and the engine's own profiles"),
    "ports": _refused(
        "two slots cannot publish one port, and users must come through the proxy; move it to a file that only your "
        "own `docker compose` reads (docker-compose.override.yml), and set [proxy] listen and [docker] port"
    ),
    "container_name": _refused("two slots cannot have one name; remove it, or move it to docker-compose.override.yml"),
    "network_mode": _refused("a slot needs an address of its own in the site's network; use networks"),
    "privileged": _refused("a privileged slot could control the machine; use devices or cap_add"),
    "pid": _HOST_NAMESPACE,
    "ipc": _HOST_NAMESPACE,
    "uts": _HOST_NAMESPACE,
    "userns_mode": _HOST_NAMESPACE,
    "cgroup": _HOST_NAMESPACE,
    "use_api_socket": _refused("a slot that controls the engine is not isolated; remove the key"),
    "volumes_from": _refused("it depends on another container; name the volumes in volumes"),
    "provider": _refused("such a service has no container; name another [docker] service"),
    "links": _unsupported("the names of other services resolve in the project's networks"),
    "external_links": _unsupported("join the other project's network in networks"),
    "hostname": _unsupported("the engine would give both slots this name in the project's networks"),
    "domainname": _unsupported("a slot has no name of its own in a domain"),
    "mac_address": _unsupported("two slots cannot have one address"),
    "blkio_config": _BLKIO,
    "storage_opt": _BLKIO,
    "cpu_count": _CPU,
    "cpu_percent": _CPU,
    "cpu_shares": _CPU,
    "cpu_period": _CPU,
    "cpu_quota": _CPU,
    "cpu_rt_runtime": _CPU,
    "cpu_rt_period": _CPU,
    "cpuset": _CPU,
    "mem_reservation": _unsupported("mem_limit limits the slot"),
    "mem_swappiness": _unsupported("a slot has no swap"),
    "oom_kill_disable": _unsupported("a slot that is over its limit is killed and told"),
    "oom_score_adj": _unsupported("the engine's default is used"),
    "cgroup_parent": _unsupported("the engine's default is used"),
    "device_cgroup_rules": _unsupported("use devices"),
    "gpus": _unsupported("use devices"),
    "runtime": _unsupported("the engine's default runtime is used"),
    "isolation": _unsupported("slots are Linux containers"),
    "credential_spec": _unsupported("slots are Linux containers"),
    "annotations": _unsupported("use labels"),
    "stdin_open": _unsupported("a slot has no terminal"),
    "tty": _unsupported("a slot has no terminal"),
    "post_start": _unsupported("a slot runs no command beside its own"),
    "pre_stop": _unsupported("a slot runs no command beside its own"),
    "models": _unsupported("start the model as a service of its own"),
}
_BUILD_LIMITS: Final = _unsupported("the engine's defaults are used for builds")
_BUILD_CACHE: Final = _unsupported("the engine's own cache is used")
_BUILD_RECORDS: Final = _unsupported("a record of the build would change the image's id each time")
# The keys of `build`.
BUILD_KEYS: Final = {
    "context": _TAKEN,
    "dockerfile": _TAKEN,
    "dockerfile_inline": _TAKEN,
    "args": KeyRule(Treatment.TAKEN, "[docker] build_args go first"),
    "target": KeyRule(Treatment.TAKEN, "unless [docker] build_target is set"),
    "secrets": KeyRule(Treatment.TAKEN, "from a file or an environment variable; [docker] build_secrets go first"),
    "ssh": KeyRule(Treatment.TAKEN, "only the agent of the releasing machine, `default`"),
    "additional_contexts": _refused("build with docker compose, and name the result in [docker] image"),
    "platforms": _overridden("[docker] platform is used, or platform of the service"),
    "tags": _overridden("an image is named by its version"),
    "labels": _unsupported("use LABEL in the Dockerfile"),
    "pull": _unsupported("pull base images first: docker pull"),
    "no_cache": _BUILD_CACHE,
    "no_cache_filter": _BUILD_CACHE,
    "cache_from": _BUILD_CACHE,
    "cache_to": _BUILD_CACHE,
    "provenance": _BUILD_RECORDS,
    "sbom": _BUILD_RECORDS,
    "network": _BUILD_LIMITS,
    "extra_hosts": _BUILD_LIMITS,
    "shm_size": _BUILD_LIMITS,
    "ulimits": _BUILD_LIMITS,
    "privileged": _BUILD_LIMITS,
    "entitlements": _BUILD_LIMITS,
    "isolation": _BUILD_LIMITS,
}
UNKNOWN_KEY: Final = _unsupported("the key is unknown")
# A proxy that finds containers by these would send users to both slots, also to an unproven candidate.
DISCOVERY_LABELS: Final = ("traefik.", "caddy", "com.github.nginx-proxy.", "haproxy.", "sablier.")
DISCOVERY_VARIABLES: Final = frozenset({"VIRTUAL_HOST", "VIRTUAL_PORT", "VIRTUAL_PATH", "LETSENCRYPT_HOST"})


def rule_for(key: str) -> KeyRule | None:
    """Return the rule for a key, None for an extension of the file's author (`x-...`)."""
    return None if key.startswith("x-") else COMPOSE_KEYS.get(key, UNKNOWN_KEY)
