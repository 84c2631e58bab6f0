"""Open a site from its settings."""

from __future__ import annotations

from cakravia_verify.health.probe import HttpProber
from cakravia_verify.history.journal import Journal
from cakravia_verify.history.lease import SharedLease
from cakravia_verify.history.running_release import highest_token
from cakravia_verify.platforms.protocol import Platform
from cakravia_verify.proxy.monitor_pages import local_pages
from cakravia_verify.proxy.nginx.site_facts import facts_of
from cakravia_verify.proxy.protocol import Proxy
from cakravia_verify.settings.models import Settings
from cakravia_verify.site.lock import Lock
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock


def open_site(settings: Settings, *, clock: Clock = SYSTEM_CLOCK) -> Site:
    """Return the site on the platform that its settings name. Changes nothing."""
    platform, proxy, shared = _parts(settings, clock)
    journal = Journal(settings.history, clock=clock, shared=shared)
    return Site(
        settings=settings,
        platform=platform,
        proxy=proxy,
        prober=HttpProber(settings.contract, timeout=settings.health.timeout, site=settings.site, root=settings.root),
        journal=journal,
        lock=Lock(settings.state / "lock", above=lambda: highest_token(journal), shared=shared),
        clock=clock,
    )


def _parts(settings: Settings, clock: Clock) -> tuple[Platform, Proxy, SharedLease | None]:
    if settings.site.platform == "docker":
        from cakravia_verify.platforms.docker.site import open_docker

        return open_docker(settings, clock=clock)
    from cakravia_verify.platforms.process.nginx import LocalNginx
    from cakravia_verify.platforms.process.slots import ProcessPlatform

    upstreams = {colour: settings.upstream_address(colour) for colour in Colour}
    proxy = LocalNginx(
        settings.proxy,
        folder=settings.state / "nginx",
        upstreams=upstreams,
        facts=facts_of(settings),
        pages=local_pages(settings, nginx_folder=settings.state / "nginx"),
        clock=clock,
    )
    return ProcessPlatform(settings, clock=clock), proxy, None
