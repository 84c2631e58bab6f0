"""Files with secrets: those of headers, of `env_file` and of Docker."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, problem
from cakravia_verify.settings.headers import from_root, with_files

_FILE: Final = re.compile(r"\{file:([^{}]+)\}")


def _find(ground: Ground) -> Iterator[CheckFinding]:
    settings, root = ground.settings, ground.settings.root
    files: list[tuple[str, Path]] = []
    for section, headers in (("contract", settings.contract.headers), ("traffic", settings.traffic.headers)):
        for value in headers.values():
            files += [(f"[{section}] headers", root / name) for name in _FILE.findall(value)]
            with_files(from_root(value, root))  # raises SettingsError, which names the file and says why
    if settings.app.env_file:
        files.append(("[app] env_file", root / settings.app.env_file))
    if settings.site.platform == "docker":
        for name, file in settings.docker.secrets.items():
            if not (root / file).is_file():
                yield problem(
                    f"[docker] secrets: {name}: there is no file {root / file}",
                    needed="the file of every secret",
                    remedy="write the file, or remove the secret from [docker] secrets",
                )
            files.append((f"[docker] secrets: {name}", root / file))
    for key, path in files:
        if path.is_file() and path.stat().st_mode & stat.S_IROTH:
            yield problem(
                f"{key}: every user of this machine can read {path}",
                needed="a secret that only its owner can read",
                remedy=f"chmod 600 {path}",
            )
    yield ok(f"{len(files)} files with secrets" if files else "no files with secrets")


CHECK: Final = SiteCheck("secrets", "Secrets are here and closed to others", _find)
