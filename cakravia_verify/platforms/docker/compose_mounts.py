"""The mounts of a service: volumes, files of the machine, memory, configs and secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from cakravia_verify.errors import UsageError
from cakravia_verify.platforms.docker.compose_values import bytes_of, is_true, mode_of, texts_of
from cakravia_verify.platforms.docker.service import MountKind, SecretSource, ServiceMount, ServiceVolume
from cakravia_verify.system.files import write_atomically

SECRETS: Final = "/run/secrets"
# An option, and what holds without it.
TMPFS_DEFAULTS: Final = {
    "ro": "rw",
    "exec": "noexec",
    "suid": "nosuid",
    "dev": "nodev",
    "size": "size=64M",
    "mode": "mode=1777",
}
PROPAGATIONS: Final = frozenset({"shared", "slave", "private", "rshared", "rslave", "rprivate"})


def mounts_of(
    rows: Iterable[Any], named: Mapping[str, Any], *, root: Path
) -> tuple[tuple[ServiceMount, ...], tuple[ServiceVolume, ...]]:
    """Return the mounts, and the named volumes that they use. `named` are the volumes of the whole file."""
    mounts, volumes = [], {}
    for row in rows:
        mount = _long_mount(row, root) if isinstance(row, Mapping) else _short_mount(str(row), root)
        if mount.kind is MountKind.VOLUME and mount.source:
            volume = _volume(mount.source, named.get(mount.source))
            volumes[volume.name] = volume
            mount = replace(mount, source=volume.name)
        mounts.append(mount)
    return tuple(mounts), tuple(volumes.values())


def tmpfs_of(value: Any) -> dict[str, str]:
    """Return the mount options of each tmpfs: of `/run`, `/run:size=5m` or {"/run": "5M,exec"}."""
    rows = dict(value) if isinstance(value, Mapping) else dict(str(row).partition(":")[::2] for row in texts_of(value))
    return {str(path): tmpfs_options(str(options)) for path, options in rows.items()}


def tmpfs_options(text: str) -> str:
    """Return complete options of a tmpfs. A bare size, such as 64M, is its size."""
    options = [each.strip() for each in text.split(",") if each.strip()]
    options = [f"size={each}" if re.fullmatch(r"[0-9]+[KMGkmg]?", each) else each for each in options]
    names = {each.partition("=")[0] for each in options}
    defaults = [default for name, default in TMPFS_DEFAULTS.items() if not names & {name, default.partition("=")[0]}]
    return ",".join([*defaults, *options])


def secrets_of(rows: Iterable[Any], named: Mapping[str, Any]) -> dict[str, SecretSource]:
    """Return the sources of the secrets by their names in /run/secrets."""
    found = {}
    for row in rows:
        source, target = _source_and_target(row)
        place = PurePosixPath(SECRETS) / (target or source)
        if place.parent != PurePosixPath(SECRETS):
            raise UsageError(
                f"the secret {source} goes to {place}, but a slot has its secrets in {SECRETS}",
                remedy=f"remove its target, or name one below {SECRETS}",
            )
        what = named.get(source) or {}
        if not what.get("file") and not what.get("environment"):
            raise UsageError(
                f"the secret {source} has neither a file nor an environment variable",
                remedy="give it a file in the compose file's secrets, or use [docker] secrets",
            )
        found[place.name] = SecretSource(str(what.get("file", "")), str(what.get("environment", "")))
    return found


def configs_of(rows: Iterable[Any], named: Mapping[str, Any], *, folder: Path, root: Path) -> dict[str, Path]:
    """Return the file of each config by its path inside. A config with content is written into `folder`."""
    found = {}
    for row in rows:
        source, target = _source_and_target(row)
        what = named.get(source) or {}
        place = str(PurePosixPath("/") / (target or source))
        if file := what.get("file"):
            found[place] = root / str(file)
        elif (content := what.get("content")) is not None:
            found[place] = folder / re.sub(r"[^A-Za-z0-9_.-]", "_", source)
            write_atomically(found[place], str(content).encode(), mode=0o644)
        else:
            raise UsageError(
                f"the config {source} has neither a file nor a content", remedy="give it a file in the compose file"
            )
    return found


def _source_and_target(row: Any) -> tuple[str, str]:
    return (str(row["source"]), str(row.get("target", ""))) if isinstance(row, Mapping) else (str(row), "")


def _long_mount(row: Mapping[str, Any], root: Path) -> ServiceMount:
    kinds: dict[str, MountKind] = {str(kind): kind for kind in MountKind}
    name = str(row.get("type", "volume"))
    if name not in kinds:
        raise UsageError(
            f"a mount of type {name} at {row.get('target')} is not supported", remedy="use volume, bind or tmpfs"
        )
    kind, source = kinds[name], str(row.get("source", ""))
    options = row.get(name) or {}
    if options.get("subpath"):
        raise UsageError(f"subpath of the volume {source} is not supported", remedy="mount the whole volume")
    return ServiceMount(
        kind,
        str(row["target"]),
        str(root / source) if kind is MountKind.BIND else source,
        read_only=is_true(row.get("read_only")),
        no_copy=is_true(options.get("nocopy")),
        propagation=str(options.get("propagation", "")),
        size=bytes_of(options.get("size")) if kind is MountKind.TMPFS else 0,
        mode=mode_of(options.get("mode")) if kind is MountKind.TMPFS else 0,
    )


def _short_mount(text: str, root: Path) -> ServiceMount:
    """Read `target`, `source:target` or `source:target:options`."""
    parts = text.split(":")
    if len(parts) == 1:
        return ServiceMount(MountKind.VOLUME, parts[0])
    source, target, options = parts[0], parts[1], parts[2].split(",") if len(parts) > 2 else []
    is_path = source.startswith(("/", ".", "~"))
    return ServiceMount(
        MountKind.BIND if is_path else MountKind.VOLUME,
        target,
        str((root / Path(source).expanduser()).resolve()) if is_path else source,
        read_only="ro" in options,
        no_copy="nocopy" in options,
        propagation=next((each for each in options if each in PROPAGATIONS), ""),
    )


def _volume(key: str, described: Mapping[str, Any] | None) -> ServiceVolume:
    """Return the volume. A name that the file does not describe is a name in the engine."""
    if described is None:
        return ServiceVolume(key, key)
    return ServiceVolume(
        str(described.get("name", key)),
        key,
        driver=str(described.get("driver", "")),
        options={str(name): str(value) for name, value in (described.get("driver_opts") or {}).items()},
        is_external=bool(described.get("external")),
    )
