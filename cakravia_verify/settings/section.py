"""A table of cakravia.toml, and the types of its values."""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from cakravia_verify.slots import Address

Seconds: TypeAlias = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Port: TypeAlias = Annotated[int, Field(ge=1, le=65_535)]
UrlPath: TypeAlias = Annotated[str, Field(pattern=r"^(/[!-~]*)?$")]
Codes: TypeAlias = Annotated[tuple[Annotated[int, Field(ge=100, le=599)], ...], Field(min_length=1, strict=False)]
SecretName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
# nginx's configuration and URLs contain the host. So it has no character with a special meaning there.
HOST_PATTERN: Final = r"^[^\s:;{}\[\]#\"'$/@\\]+$"
# nginx's configuration contains the path between double quotes.
NGINX_PATH: Final = r"""^[^\s"'$;{}\\]*$"""
MEMORY_LEAST, MEMORY_MOST = 2**20, 2**46


def is_nginx_path(path: str) -> bool:
    """Whether nginx's configuration can contain the path between double quotes."""
    return re.match(NGINX_PATH, path) is not None


class Section(BaseModel):
    """A table of cakravia.toml. Types are strict, unknown keys are errors, and values cannot change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def address_of(listen: str) -> Address:
    host, _, port = listen.rpartition(":")
    return Address(host, int(port))


def size_in_bytes(size: str) -> int:
    """Return the bytes of a size such as `512M`."""
    factor = {"K": 2**10, "M": 2**20, "G": 2**30}.get(size[-1])
    return int(size[:-1]) * factor if factor else int(size)
