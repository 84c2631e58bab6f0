"""What this process was told by its environment, read once and validated."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .misbehaviour import Misbehaviour, UnknownMisbehaviour, parse_misbehaviour

if TYPE_CHECKING:
    from collections.abc import Mapping

SLOTS = ("blue", "green")
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


class WrongEnvironment(Exception):  # noqa: N818 - reads aloud as what happened
    """A variable of the environment has a value that makes no sense; nothing was started."""


@dataclass(frozen=True)
class Environment:
    """One slot's settings; times in seconds, sizes in bytes."""

    host: str
    port: int
    slot: str
    version: str
    release: str
    deployed_at: str
    data_dir: Path
    request_log: Path | None
    keep_alive: int
    drain_seconds: float
    drain_idle_seconds: float
    memory_limit: int | None
    dependency_url: str | None
    outside_api_url: str | None
    misbehaviour: Misbehaviour

    @property
    def shown_slot(self) -> str:
        """The slot this process claims to be; another one than the true one only when it misbehaves."""
        if self.misbehaviour.is_wrong_slot:
            return next(slot for slot in SLOTS if slot != self.slot)
        return self.slot

    @property
    def shown_version(self) -> str:
        return self.misbehaviour.wrong_version or self.version


def read_environment(environ: Mapping[str, str]) -> Environment:
    """The settings in `environ`, defaults filled in. Raises WrongEnvironment, which names the variable."""
    version = _name(environ, "APP_VERSION", "v0.0.0")
    slot = environ.get("DEPLOYMENT_SLOT") or "blue"
    if slot not in SLOTS:
        raise WrongEnvironment(f"DEPLOYMENT_SLOT is {slot!r}; it must be one of {', '.join(SLOTS)}")
    request_log = environ.get("REQUEST_LOG")
    memory_limit = environ.get("MEMORY_LIMIT")
    return Environment(
        host=environ.get("HOST") or "127.0.0.1",
        port=int(_number(environ, "PORT", 3000, maximum=65535)),
        slot=slot,
        version=version,
        release=_name(environ, "DEPLOYMENT_RELEASE", "none"),
        deployed_at=_name(environ, "DEPLOYMENT_TIMESTAMP", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"),
        data_dir=Path(environ.get("DATA_DIR") or Path(tempfile.gettempdir()) / "reference-app"),
        request_log=Path(request_log) if request_log else None,
        keep_alive=int(_number(environ, "KEEP_ALIVE", 5)),
        drain_seconds=_number(environ, "DRAIN_SECONDS", 25),
        drain_idle_seconds=_number(environ, "DRAIN_IDLE_SECONDS", 0.5),
        memory_limit=parse_size(memory_limit) if memory_limit else None,
        dependency_url=_url(environ, "DEPENDENCY_URL"),
        outside_api_url=_url(environ, "OUTSIDE_API_URL"),
        misbehaviour=_misbehaviour(environ, version),
    )


def parse_size(text: str) -> int:
    """Bytes from `536870912`, `512m` or `512MiB`. Raises WrongEnvironment."""
    match = re.fullmatch(r"(\d+)\s*([kmg]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise WrongEnvironment(f"MEMORY_LIMIT is {text!r}; write bytes or a size such as 512m")
    return int(match[1]) * _UNITS[match[2]]


def _misbehaviour(environ: Mapping[str, str], version: str) -> Misbehaviour:
    """What this version does wrong: releases choose it by their version, the plain variable is for all of them."""
    for variable in ("MISBEHAVE_" + re.sub(r"[^0-9A-Za-z]", "_", version), "MISBEHAVE"):
        if variable in environ:
            try:
                return parse_misbehaviour(environ[variable])
            except UnknownMisbehaviour as error:
                raise WrongEnvironment(f"{variable}: {error}") from error
    return Misbehaviour()


def _number(environ: Mapping[str, str], variable: str, default: float, *, maximum: float = 86_400) -> float:
    text = environ.get(variable) or str(default)
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) > maximum:
        raise WrongEnvironment(f"{variable} is {text!r}; it must be a number from 0 to {maximum:g}")
    return float(text)


def _name(environ: Mapping[str, str], variable: str, default: str) -> str:
    """A value that also fits into a response header."""
    text = environ.get(variable) or default
    if not re.fullmatch(r"[\x21-\x7e]{1,200}", text):
        raise WrongEnvironment(
            f"{variable} is {text[:60]!r}; it must be 1 to 200 visible ASCII characters without spaces"
        )
    return text


def _url(environ: Mapping[str, str], variable: str) -> str | None:
    text = environ.get(variable)
    if text and not re.match(r"https?://[^/\s]", text):
        raise WrongEnvironment(f"{variable} is {text!r}; it must begin with http:// or https:// and name a host")
    return text or None
