"""The networks of proxies that may say who the client is."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

CLOUDFLARE: Final = "cloudflare"
# https://www.cloudflare.com/ips/
_CLOUDFLARE_NETWORKS: Final = (
    "173.245.48.0/20",
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "141.101.64.0/18",
    "108.162.192.0/18",
    "190.93.240.0/20",
    "188.114.96.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
    "162.158.0.0/15",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "172.64.0.0/13",
    "131.0.72.0/22",
    "2400:cb00::/32",
    "2606:4700::/32",
    "2803:f800::/32",
    "2405:b500::/32",
    "2405:8100::/32",
    "2a06:98c0::/29",
    "2c0f:f248::/32",
)


def networks_of(peers: Iterable[str]) -> tuple[str, ...]:
    """Return each network once, in CIDR notation. Raises ValueError for a text that is none."""
    found: dict[str, None] = {}
    for peer in peers:
        for text in _CLOUDFLARE_NETWORKS if peer == CLOUDFLARE else (peer,):
            try:
                found[str(ipaddress.ip_network(text))] = None
            except ValueError as error:
                raise ValueError(
                    f"{text!r} is no address, no network such as 10.0.0.0/8, and not {CLOUDFLARE!r}: {error}"
                ) from error
    return tuple(found)
