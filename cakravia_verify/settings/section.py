"""A table of cakravia.toml, and the types of its values."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

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
    """Return the address of a text such as `127.0.0.1:8080` or `[::1]:8080`."""
    host, _, port = listen.rpartition(":")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def checked_listen(listen: str) -> str:
    """Return a text that names an address to listen on. Raises ValueError with the part that is wrong."""
    host, colon, port = listen.rpartition(":")
    if listen.startswith("unix:"):
        raise ValueError(f"{listen!r} is a unix socket: releases are measured by TCP, so write an address and a port")
    if listen.count(":") > 1 and not host.endswith("]"):
        raise ValueError(f"{listen!r} is an IPv6 address without brackets or without a port: write [::1]:8080")
    if not colon or not host:
        raise ValueError(f"{listen!r} lacks {'an address' if colon else 'a port'}: write 127.0.0.1:8080 or [::1]:8080")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65_535):
        raise ValueError(f"{listen!r} has the port {port!r}: the port is not between 1 and 65535")
    if host.startswith("["):
        _require_ipv6(host[1:-1])
    elif not re.fullmatch(HOST_PATTERN, host) or host == "*":
        raise ValueError(f"{listen!r} has the address {host!r}: write 0.0.0.0 or [::] for all")
    return listen


def checked_listens(given: object) -> str | tuple[str, ...]:
    """Return one address to listen on, or several. Raises ValueError with the one that is wrong, or named twice."""
    if isinstance(given, str):
        return checked_listen(given)
    if not isinstance(given, list | tuple) or not given or not all(isinstance(each, str) for each in given):
        raise ValueError("write an address such as 127.0.0.1:8080, or a list of addresses")
    for each in given:
        checked_listen(each)
        if given.count(each) > 1:
            raise ValueError(f"{each!r} is named twice")
    return tuple(given)


# One address, or a list: this machine's own requests go to the first.
Listens: TypeAlias = Annotated[str | tuple[str, ...], BeforeValidator(checked_listens)]
OptionalListens: TypeAlias = Annotated[
    str | tuple[str, ...], BeforeValidator(lambda given: given if given == "" else checked_listens(given))
]


def checked_host(host: str) -> str:
    """Return the host of slots, an IPv6 address without brackets. Raises ValueError."""
    if ":" in host:
        host = host.removeprefix("[").removesuffix("]")
        _require_ipv6(host)
    elif not re.fullmatch(HOST_PATTERN, host):
        raise ValueError(f"{host!r} is no address: write 127.0.0.1 or ::1, without a port")
    return host


def _require_ipv6(host: str) -> None:
    try:
        ipaddress.IPv6Address(host)
    except ValueError as error:
        raise ValueError(f"{host!r} is no IPv6 address: {error}") from error
    if "%" in host:
        raise ValueError(f"{host!r} names an interface: write the address alone")


def size_in_bytes(size: str) -> int:
    """Return the bytes of a size such as `512M`."""
    factor = {"K": 2**10, "M": 2**20, "G": 2**30}.get(size[-1])
    return int(size[:-1]) * factor if factor else int(size)
