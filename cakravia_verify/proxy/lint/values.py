"""nginx's times, sizes and names, as numbers and parts."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_LONG_UNITS: Final = {"M": 30 * 86_400.0, "y": 365 * 86_400.0}
_SIZES: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def seconds_of(text: str) -> float | None:
    """Return a time of nginx in seconds, as 1m30s, 500ms or 60. None for what is no time, such as a variable."""
    parts = re.findall(r"([0-9]+)(ms|[smhdwMy]?)\s*", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        return None
    return sum(int(number) * ({**_UNITS, **_LONG_UNITS}[unit]) for number, unit in parts)


def bytes_of(text: str) -> int | None:
    """Return a size of nginx in bytes, as 64m or 4k. None for what is no size."""
    found = re.fullmatch(r"([0-9]+)([kKmMgG]?)", text)
    return int(found[1]) * _SIZES[found[2].lower()] if found else None


def variables_in(text: str) -> list[str]:
    """Return the names of the variables in a value, without the dollar sign."""
    return re.findall(r"\$\{?(\w+)\}?", text)


def is_address(host: str) -> bool:
    """Whether a host is an IP address and no name."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback)
