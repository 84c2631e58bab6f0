"""What a release does for pages that are open in browsers: keeps their files, and their version reachable."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import quote

from cakravia_verify.assets.finding import AssetPaths, Fetched, find_assets, is_a_file
from cakravia_verify.assets.store import AssetStore
from cakravia_verify.errors import CakraviaError
from cakravia_verify.release.conditions import is_healthy, was_seen
from cakravia_verify.release.machine import Release
from cakravia_verify.settings.models import Settings
from cakravia_verify.settings.traffic_mix import MixRequest
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Slot

# A part of a path with at least eight letters and digits, some of them digits: the hash of its content.
HASHED: Final = re.compile(r"[./_-](?=[A-Za-z]*[0-9])[A-Za-z0-9_]{8,}")


def keep_assets(release: Release, candidate: Slot) -> str:
    """Let the proxy serve what one version has under `[proxy] assets` and the other lacks. Both directions.

    The files come from the slots themselves, before users are moved. Returns a note. Raises ReleaseError or ProxyError.
    """
    site, old = release.site, release.intent.active
    settings = site.settings.proxy
    if not settings.assets:
        return ""
    store, paths, now = AssetStore(site.settings.state / "assets"), AssetPaths(settings.assets), site.clock.wall()
    running = site.platform.observe(old) if old else None
    slots = [candidate] + ([running] if running is not None and was_seen(release, running) else [])
    keys = {slot.colour: f"{slot.version} {slot.digest} {' '.join(settings.assets)}" for slot in slots}
    for slot in slots:
        known = store.knows(keys[slot.colour])
        fetch, pages = _fetch(site, slot), pages_of(site.settings)
        files = {} if known else find_assets(paths, pages, fetch, names=_names(site, slot))
        store.add(keys[slot.colour], files, now=now)
    for slot in slots:
        # A version may serve a file that neither its pages nor its artifact name. Its own answer comes first.
        lacking = store.lacking(keys[slot.colour])
        store.add(keys[slot.colour], dict(_served_all_the_same(lacking, _fetch(site, slot))), now=now)
    store.save(now=now, keep=settings.assets_keep, needed=set(keys.values()))
    if not site.proxy.observe().is_running:  # it starts with the switch, so no page is open
        return ""
    kept = {slot.colour: store.lacking(keys[slot.colour]) for slot in slots}
    for colour, places in kept.items():
        site.proxy.keep_files(colour, places)
    return f"{len(kept[candidate.colour])} files of other versions kept for open pages"


def _served_all_the_same(files: Iterable[str], fetch: Callable[[str], Fetched | None]) -> Iterable[tuple[str, bytes]]:
    for path in files:
        if HASHED.search(path):
            continue  # the same name has the same content in every version
        fetched = fetch(quote(path))
        if fetched is not None and is_a_file(path, fetched):
            yield path, fetched.body


def pages_of(settings: Settings) -> tuple[str, ...]:
    """Return the paths that may be pages: those of the traffic and of the smoke requests, and the front page."""
    traffic = settings.traffic
    requests: list[MixRequest] = [each for table in traffic.mix for each in (table, *table.steps) if not table.stream]
    asked = [each.path for each in requests if each.method == "GET"]
    asked += [each.path for each in settings.release.smoke if each.method == "GET"]
    return tuple(dict.fromkeys(["/", *(path for path in asked if "{" not in path)]))


def pin_old_version(release: Release) -> None:
    """Let the old slot answer requests that name its version from the switch on (`[proxy.skew]`).

    After a rollback it does not, unless `after_rollback` says so: users were taken away from that version.
    """
    site, old = release.site, release.intent.active
    if not site.settings.proxy.skew.is_on or old is None:
        return
    running = site.platform.observe(old)
    if pins_old_slot(release) and running is not None and was_seen(release, running):
        site.proxy.pin(old, running.version)
    else:
        site.proxy.unpin(old)


def pins_old_slot(release: Release) -> bool:
    """Return whether the old slot goes on to answer requests that name its version."""
    skew = release.site.settings.proxy.skew
    return skew.is_on and (skew.after_rollback or not release.intent.policy.goes_back)


def unpin_ill_slot(site: Site, slot: Slot | None) -> str:
    """End the pins of an idle slot that is not healthy. Returns a note, '' if nothing was done."""
    if not site.settings.proxy.skew.is_on or slot is None or is_healthy(site, slot):
        return ""
    site.proxy.unpin(slot.colour)
    return f"{slot} is not healthy: requests that name its version go to users' slot"


def _fetch(site: Site, slot: Slot) -> Callable[[str], Fetched | None]:
    def fetch(path: str) -> Fetched | None:
        answer = site.prober.request(slot.address, "GET", path)
        if answer.status_code != 200:
            return None
        return Fetched(answer.headers.get("content-type", ""), answer.body)

    return fetch


def _names(site: Site, slot: Slot) -> Callable[[str], Iterable[str]]:
    def names(folder: str) -> Iterable[str]:
        try:
            return site.platform.file_names(slot.colour, folder)
        except CakraviaError:
            return ()  # the pages name what browsers need first

    return names
