"""The sources of one site, by its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from cakravia_verify.history.journal import Journal
from cakravia_verify.monitor.facts import ProbeTarget
from cakravia_verify.monitor.sampling.certificate import CertificateSource
from cakravia_verify.monitor.sampling.machine import HostSource, VantageSource
from cakravia_verify.monitor.sampling.pins import PinSource
from cakravia_verify.monitor.sampling.platform import (
    CONTAINERS_EVERY,
    EVERY,
    ContainerReader,
    PlatformSource,
    ProcessReader,
    SlotReader,
)
from cakravia_verify.monitor.sampling.releases import ReleaseSource
from cakravia_verify.monitor.sampling.rounds import PageSource, RoundSource, without_names
from cakravia_verify.monitor.sampling.site import DriftSource, RollbackSource
from cakravia_verify.monitor.sampling.source import FactSource
from cakravia_verify.monitor.sampling.traffic import TrafficSource
from cakravia_verify.settings.models import Settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.site.maintenance import read_maintenance
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Address, Colour


@dataclass(frozen=True)
class Sources:
    """Every source of a site. `rollback` and `platform` are also asked between their turns."""

    rollback: RollbackSource
    platform: PlatformSource
    others: tuple[FactSource, ...]


def open_sources(settings: Settings, *, on_probes: Callable[[], None]) -> Sources:
    """Return the sources. `on_probes` is called after each round of probes of the users' way."""
    # An engine that is away is a fact to report, not one to wait for.
    settings = settings.model_copy(update={"docker": settings.docker.model_copy(update={"patience": 0.0})})
    site = open_site(settings)
    reader, every = _reader(site)
    platform = PlatformSource(site, reader, every=every)
    return Sources(RollbackSource(_apart(site)), platform, tuple(_others(site, platform, on_probes)))


def _apart(site: Site) -> Site:
    """Return the site with a reader of the history of its own: a reader serves one thread."""
    return replace(site, journal=Journal(site.settings.history))


def _others(site: Site, platform: PlatformSource, on_probes: Callable[[], None]) -> Iterator[FactSource]:
    settings = site.settings
    yield RoundSource(ProbeTarget.USERS, settings, lambda: site.proxy.address, on_round=on_probes)
    yield RoundSource(ProbeTarget.BLUE, settings, lambda: platform.address_of(Colour.BLUE))
    yield RoundSource(ProbeTarget.GREEN, settings, lambda: platform.address_of(Colour.GREEN))
    tls = tls_address(settings)
    if tls is not None:
        yield RoundSource(ProbeTarget.TLS, settings, lambda: tls, tls=without_names())
    if settings.monitor.url:
        yield PageSource(settings)
    yield ReleaseSource(settings)
    yield DriftSource(_apart(site))
    if settings.proxy.skew.is_on:
        yield PinSource(open_site(settings))
    yield HostSource((settings.state, settings.reports))
    if settings.monitor.vantage:
        yield VantageSource(settings.monitor.vantage)
    if shown := tls or _outside_tls(settings):
        yield CertificateSource(lambda: shown, server_name=urlsplit(settings.monitor.url).hostname or "")
    if settings.site.platform == "process" and settings.proxy.access_log == "file":
        log = settings.state / "nginx" / "everyday.log"
        yield TrafficSource(log, maintenance=lambda: read_maintenance(settings.state))


def _reader(site: Site) -> tuple[SlotReader, float]:
    settings = site.settings
    if settings.site.platform == "docker":
        from cakravia_verify.platforms.docker.engine.engine import Engine

        docker = settings.docker
        engine = Engine(docker.host, api_version=docker.api_version, patience=docker.patience)
        return ContainerReader(settings, engine), CONTAINERS_EVERY
    return ProcessReader(site), EVERY


def tls_address(settings: Settings) -> Address | None:
    """Return where this machine reaches the proxy by TLS, None when users do not come in by TLS."""
    address = settings.proxy.tls_address
    if address is None:
        return None
    return Address("127.0.0.1", address.port) if address.host in ("0.0.0.0", "*", "::") else address  # noqa: S104


def _outside_tls(settings: Settings) -> Address | None:
    parts = urlsplit(settings.monitor.url)
    return Address(parts.hostname or "", parts.port or 443) if parts.scheme == "https" else None
