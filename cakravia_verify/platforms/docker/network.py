"""The private network of a site: fixed addresses for slots and proxy, so that nothing ever resolves a name."""

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

# Counted from the subnet's first address; the engine's own gateway is 1.
PROXY_NUMBER: Final = 2
SLOT_NUMBERS: Final = {Colour.BLUE: 3, Colour.GREEN: 4}
SMALLEST_PREFIX: Final = 28
NETWORK_SECONDS: Final = 30.0
# Of a container that is in no network. RFC 5737: nobody has it, so no stranger can answer for it.
NOWHERE: Final = "192.0.2.1"


@dataclass
class SiteNetwork:
    """Network `name`. Its lower half is for fixed addresses: one stays free for a slot even while it is stopped."""

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
        """Raises PlatformError where there is no such network, or not one of ours."""
        if self._subnet is None:
            network = self.find()
            if network is None:
                raise PlatformError(f"the network {self.name} is gone", remedy="cakravia recover makes it again")
            self._subnet = self._subnet_of(network)
        return self._subnet

    def find(self) -> Network | None:
        """The network, None where there is none. Raises PlatformError where it is somebody else's."""
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
        """The network is there. The engine chooses the subnet where the settings do not: its choice cannot collide."""
        if (found := self.find()) is not None:
            self._subnet = self._subnet_of(found)
            return
        self._subnet = None
        wanted = ipaddress.IPv4Network(self.wanted) if self.wanted else self._choice_of_the_engine()
        while self.find() is None:
            try:
                self._create(wanted)
            except PlatformError:
                # Somebody else took the subnet since; the engine chooses another.
                if self.wanted or deadline.is_over:
                    raise
                wanted = self._choice_of_the_engine()

    def has(self, container: Container) -> bool:
        """Whether a container is in the network of this name, by what was last seen of it."""
        return self.name in container.attrs["NetworkSettings"]["Networks"]

    def join(self, container: Container, *, address: str, service: str) -> None:
        """A container that runs is in the network, at its address and under its service's name."""
        network = self.find()
        if network is None:
            raise PlatformError(f"the network {self.name} is gone", remedy="cakravia recover makes it again")
        self.engine.ask(
            f"connecting {container.name} to network {self.name}",
            lambda: network.connect(container, ipv4_address=address, aliases=[service]),
            again=False,
        )

    def remove(self) -> None:
        if (found := self.find()) is not None:
            self.engine.ask(f"removing network {self.name}", found.remove)
            self._subnet = None

    def _choice_of_the_engine(self) -> ipaddress.IPv4Network:
        """Fixed addresses are accepted only in a subnet that was asked for: so the engine's choice is asked for."""
        draft = self.engine.ask(
            f"creating network {self.name}",
            lambda: self.engine.client.networks.create(self.name, labels={SITE_LABEL: self.site}, check_duplicate=True),
            again=False,
        )
        try:
            self.engine.ask(f"looking at network {self.name}", draft.reload)
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
