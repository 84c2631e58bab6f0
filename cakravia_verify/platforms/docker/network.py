"""The private network of a site. Slots and proxy have fixed addresses, so no name is resolved."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cakravia_verify.errors import PlatformError
from cakravia_verify.platforms.docker.engine.engine import SITE_LABEL, Engine
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline

if TYPE_CHECKING:
    from docker.models.containers import Container
    from docker.models.networks import Network

# Offsets from the subnet's first address. The engine's gateway has 1.
PROXY_NUMBER: Final = 2
SLOT_NUMBERS: Final = {Colour.BLUE: 3, Colour.GREEN: 4}
SMALLEST_PREFIX: Final = 28
NETWORK_SECONDS: Final = 30.0
# The address of a container without a network. RFC 5737 reserves it, so no other machine can answer.
NOWHERE: Final = "192.0.2.1"


@dataclass
class SiteNetwork:
    """The network `name`. Its lower half has the fixed addresses: a stopped slot keeps its address."""

    engine: Engine
    name: str
    site: str
    wanted: str = ""
    _subnet: ipaddress.IPv4Network | None = None

    def address_of(self, colour: Colour) -> str:
        return str(self.subnet[SLOT_NUMBERS[colour]])

    @property
    def proxy_address(self) -> str:
        return str(self.subnet[PROXY_NUMBER])

    @property
    def subnet(self) -> ipaddress.IPv4Network:
        """The subnet. Raises PlatformError if the network is missing or foreign."""
        if self._subnet is None:
            network = self.find()
            if network is None:
                raise PlatformError(f"the network {self.name} is gone", remedy="create it again: cakravia recover")
            self._subnet = self._subnet_of(network)
        return self._subnet

    def find(self) -> Network | None:
        """Return the network, None if it is missing. Raises PlatformError if it does not belong to the site."""
        networks = self.engine.ask(
            f"looking for network {self.name}", lambda: self.engine.client.networks.list(names=[f"^{self.name}$"])
        )
        found = next((network for network in networks if network.name == self.name), None)
        if found is None:
            self._subnet = None
            return None
        labels = found.attrs.get("Labels") or {}
        if labels.get(SITE_LABEL) != self.site:
            raise PlatformError(
                f"the name {self.name} is taken by network {found.short_id}, which does not belong to site {self.site}",
                remedy="remove or rename it, or choose another [docker] project; it was not touched",
            )
        return found

    def ensure(self, *, deadline: Deadline) -> None:
        """Create the network if it is missing. Without [docker] subnet the engine chooses a free one."""
        if (found := self.find()) is not None:
            self._subnet = self._subnet_of(found)
            return
        self._subnet = None
        wanted = ipaddress.IPv4Network(self.wanted) if self.wanted else self._choice_of_the_engine()
        while self.find() is None:
            try:
                self._create(wanted)
            except PlatformError:
                # Another network took the subnet in between. The engine chooses a new one.
                if self.wanted or deadline.is_over:
                    raise
                wanted = self._choice_of_the_engine()

    def has(self, container: Container) -> bool:
        """Return whether the container was in this network when it was last read."""
        return self.name in container.attrs["NetworkSettings"]["Networks"]

    def join(self, container: Container, *, address: str, service: str) -> None:
        """Connect a running container to the network, with its service's name.

        Without an address, the engine gives one.
        """
        network = self.find()
        if network is None:
            raise PlatformError(f"the network {self.name} is gone", remedy="create it again: cakravia recover")
        self.engine.ask(
            f"connecting {container.name} to network {self.name}",
            lambda: network.connect(container, ipv4_address=address or None, aliases=[service]),
            again=False,
        )

    def remove(self) -> None:
        if (found := self.find()) is not None:
            self.engine.ask(f"removing network {self.name}", found.remove)
            self._subnet = None

    def _choice_of_the_engine(self) -> ipaddress.IPv4Network:
        """Return a free subnet that the engine chooses.

        The engine accepts fixed addresses only in an explicit subnet. So a draft network finds the subnet first.
        """
        draft = self.engine.ask(
            f"creating network {self.name}",
            lambda: self.engine.client.networks.create(self.name, labels={SITE_LABEL: self.site}, check_duplicate=True),
            again=False,
        )
        try:
            self.engine.ask(f"reading network {self.name}", draft.reload)
            return self._subnet_of(draft)
        finally:
            self.engine.ask(f"removing network {self.name}", draft.remove)

    def _create(self, subnet: ipaddress.IPv4Network) -> None:
        from docker.types import IPAMConfig, IPAMPool

        upper = list(subnet.subnets(prefixlen_diff=1))[1]
        pool = IPAMPool(subnet=str(subnet), gateway=str(subnet[1]), iprange=str(upper))
        self.engine.ask(
            f"creating network {self.name} ({subnet})",
            lambda: self.engine.client.networks.create(
                self.name, labels={SITE_LABEL: self.site}, ipam=IPAMConfig(pool_configs=[pool]), check_duplicate=True
            ),
            again=False,
        )

    def _subnet_of(self, network: Network) -> ipaddress.IPv4Network:
        attributes: dict[str, Any] = network.attrs
        for pool in (attributes.get("IPAM") or {}).get("Config") or []:
            subnet = ipaddress.ip_network(str(pool.get("Subnet", "")), strict=False)
            if isinstance(subnet, ipaddress.IPv4Network) and subnet.prefixlen <= SMALLEST_PREFIX:
                return subnet
        raise PlatformError(
            f"network {self.name} has no IPv4 subnet of /{SMALLEST_PREFIX} or larger",
            remedy="remove it, or name one in [docker] subnet",
        )
