"""What the checks of suites/monitor see of the monitor of a live site. Nothing is changed, and nothing is sent."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import httpx

from cakravia_verify.errors import CakraviaError
from cakravia_verify.monitor.facts import ProbeTarget
from cakravia_verify.monitor.notify.channel import secret_from
from cakravia_verify.monitor.place import MonitorPlace, place_of
from cakravia_verify.monitor.recorder import EVERY as STORED_EVERY
from cakravia_verify.monitor.rehearsal import Rehearsal, rehearse
from cakravia_verify.monitor.report import alerts_of
from cakravia_verify.monitor.service import LONGEST_WAITING, is_fresh
from cakravia_verify.monitor.state import read_state
from cakravia_verify.monitor.store.query import raw_samples
from cakravia_verify.monitor.web.page import DATA
from cakravia_verify.monitor.web.snapshot import SCHEMA
from cakravia_verify.proxy.monitor_pages import PRIVATE, pages_folder
from cakravia_verify.settings.models import Settings
from cakravia_verify.site.site import Site

# A page is written every 5 s, and one for a container every 15 s.
LONGEST_PAGE_AGE: Final = 60.0
STRANGERS_SECONDS: Final = 10.0
# What only a page of the monitor has, in contrast to a page of the application at the same path.
PAGE_MARKS: Final = (SCHEMA, '"sections":', 'class="cakravia m-page"')
# What a round of probes may take beyond its turn.
MOST_ROUNDS_MORE: Final = 2


class MonitorView:
    """The monitor of one site, as its files and its pages show it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    @property
    def settings(self) -> Settings:
        return self._site.settings

    @property
    def place(self) -> MonitorPlace:
        return place_of(self.settings)

    @property
    def was_ever_started(self) -> bool:
        return self.place.state_file.exists()

    @property
    def is_running(self) -> bool:
        return self.place.is_running()

    @property
    def is_judging(self) -> bool:
        return is_fresh(self.state)

    @property
    def age(self) -> float:
        """How old the newest judgement is, in seconds."""
        return time.time() - float(self.state.get("at") or 0.0)

    @property
    def state(self) -> Mapping[str, Any]:
        return read_state(self.place.state_file)

    @property
    def silent_sources(self) -> list[str]:
        """Sources that report nothing, with what is wrong."""
        rows = self.state.get("sources") or ()
        return [f"{row['name']}: {row['problem'] or 'it reports nothing'}" for row in rows if row["is_silent"]]

    @property
    def trouble(self) -> str:
        return str(self.state.get("trouble") or "")

    @property
    def unprobed(self) -> list[str]:
        """Endpoints that the monitor does not probe where something runs."""
        facts: Mapping[str, Any] = self.state.get("facts") or {}
        missing = []
        for target in (ProbeTarget.USERS, ProbeTarget.BLUE, ProbeTarget.GREEN):
            seen = facts.get(target) or {}
            if not seen.get("is_there", True):
                continue
            probed = {probe["endpoint"] for probe in seen.get("probes") or ()}
            missing += [f"{target}: {name}" for name in self.settings.contract.endpoints if name not in probed]
        return missing

    @cached_property
    def served(self) -> tuple[str, str]:
        """Slot and version that users get."""
        active = self._site.observe().active
        if active is None:
            raise CakraviaError(
                "no slot serves users", remedy="start the site: cakravia up, or cakravia deploy VERSION"
            )
        return str(active.colour), active.version

    @property
    def seen(self) -> tuple[str, str]:
        """Slot and version that users get by the monitor. A version is '' where answers name none."""
        users: Mapping[str, Any] = (self.state.get("facts") or {}).get(ProbeTarget.USERS) or {}
        version = next((probe["version"] for probe in users.get("probes") or () if probe["version"]), "")
        return str(self.state.get("active") or ""), str(version) or self.served[1]

    @property
    def newest_sample_age(self) -> float:
        """How old the newest stored probe of users' way is, in seconds; infinite without one."""
        now = time.time()
        series = [f"probe/{ProbeTarget.USERS}/{endpoint}" for endpoint in self.settings.contract.endpoints]
        found = [
            sample.at for name in series for sample in raw_samples(self.place.folder, name, since=now - 3600, until=now)
        ]
        return now - max(found, default=float("-inf"))

    @property
    def longest_sample_age(self) -> float:
        return 3 * (STORED_EVERY + self.settings.monitor.interval + self.settings.monitor.timeout)

    @cached_property
    def _book(self) -> Mapping[str, Any]:
        return alerts_of(self.place.folder, now=time.time(), last=1)

    @property
    def open_alerts(self) -> list[str]:
        return [f"{row['name']}: {row['detail']}" for row in self.state.get("alerts") or () if row["is_open"]]

    @property
    def overdue_messages(self) -> list[str]:
        """Channels whose oldest message waits for too long, with their last error."""
        overdue = time.time() - LONGEST_WAITING
        return [f"{row['channel']}: {row['error']}" for row in self._book["waiting"] if row["oldest"] < overdue]

    @cached_property
    def rehearsal(self) -> Rehearsal:
        """An outage on a clock of its own, beside the monitor."""
        return rehearse(self.settings, now=time.time())

    @property
    def most_bad_rounds(self) -> int:
        return self.settings.monitor.down + MOST_ROUNDS_MORE

    @property
    def most_good_rounds(self) -> int:
        return self.settings.monitor.up + MOST_ROUNDS_MORE

    @property
    def untold_channels(self) -> list[str]:
        return [each.name for each in self.settings.notify.channels if each.name not in self.rehearsal.told]

    @property
    def unusable_channels(self) -> list[str]:
        """Channels whose files cannot be read. Their content is not shown."""
        notify, problems = self.settings.notify, []
        named = [(each.name, (each.url_file, each.secret_file)) for each in notify.channels]
        for name, files in (*named, ("alive_url", (notify.alive_url_file,))):
            for file in filter(None, files):
                try:
                    secret_from(self.settings.root / file)
                except CakraviaError as error:
                    problems.append(f"{name}: {error.message}")
        return problems

    def pages_for_strangers(self) -> list[str]:
        """Return the pages of the monitor that the proxy gives to a caller without the password."""
        if not self.settings.monitor.password:
            return []
        found = []
        for name in PRIVATE:
            answer = httpx.get(f"{self._site.proxy.address.url}/{name}", trust_env=False, timeout=STRANGERS_SECONDS)
            if any(mark in answer.text for mark in PAGE_MARKS):
                found.append(f"/{name}: {answer.status_code}")
        return found

    def page_trouble(self) -> str:
        """Return why an open page would show old news, '' when it would not or when there is no page."""
        if not self.settings.monitor.password or self.settings.site.platform != "process":
            return ""
        file: Path = pages_folder(self.settings) / DATA
        try:
            written = float(json.loads(file.read_bytes())["at"])
        except (OSError, ValueError, KeyError) as error:
            return f"{file} cannot be read: {error}"
        age = time.time() - written
        return f"the page is {age:.0f} s old" if age > LONGEST_PAGE_AGE else ""
