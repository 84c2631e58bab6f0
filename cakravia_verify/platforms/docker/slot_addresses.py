"""The addresses of a slot: in the site's network, for probes, and published."""

from __future__ import annotations

from cakravia_verify.errors import UsageError
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.network import SiteNetwork
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Address, Colour


class SlotAddresses:
    """The addresses of both slots, from the settings and the site's network."""

    def __init__(self, settings: Settings, *, engine: Engine, network: SiteNetwork) -> None:
        self._settings = settings
        self._engine = engine
        self._network = network

    def in_network(self, colour: Colour) -> Address:
        return Address(self._network.address_of(colour), self._settings.docker.port)

    def for_probes(self, colour: Colour) -> Address:
        """Return the address at which this machine reaches the slot."""
        match self.probe:
            case "tunnel":
                assert self._engine.tunnel is not None
                return self._engine.tunnel.reach(self.in_network(colour))
            case "published":
                return self._settings.slot_address(colour)
        return self.in_network(colour)

    def published(self, colour: Colour) -> dict[int, tuple[tuple[str, int], ...]]:
        """Return the published port as {inside: ((host, port),)}. It is empty unless the settings ask for it."""
        slots, docker = self._settings.slots, self._settings.docker
        if docker.publish_slots or self.probe == "published":
            return {docker.port: ((slots.host, slots.port(colour)),)}
        return {}

    @property
    def probe(self) -> str:
        """How probes reach the slots: "network" (directly), "tunnel" (ssh) or "published" (a published port)."""
        docker = self._settings.docker
        if docker.probe == "tunnel" and self._engine.tunnel is None:
            raise UsageError(
                '[docker] probe = "tunnel" needs an engine at an ssh:// address', remedy='set [docker] probe = "auto"'
            )
        if docker.probe != "auto":
            return docker.probe
        if self._engine.tunnel is not None:
            return "tunnel"
        return "published" if self._engine.is_remote else "network"
