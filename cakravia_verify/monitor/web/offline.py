"""The page as one file that can be read without the site, for a ticket or an archive."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from cakravia_verify.monitor.place import place_of
from cakravia_verify.monitor.service import is_fresh
from cakravia_verify.monitor.state import read_state
from cakravia_verify.monitor.web.charts import moment
from cakravia_verify.monitor.web.making import SnapshotMaker
from cakravia_verify.monitor.web.page import offline_page_of
from cakravia_verify.settings.models import Settings


def offline_page(settings: Settings, *, folder: Path, now: float) -> str:
    """Return the page for a file in `folder`, with links to the reports from there.

    A monitor that does not run left its last state; the page then says so.
    """
    place = place_of(settings)
    state = read_state(place.state_file)
    is_working = place.is_running() and is_fresh(state)
    note = "" if is_working else "The monitor does not run. It never did so here."
    if state and not is_working:
        note = f"The monitor does not run. What is below is of {moment(state.get('at'))} UTC."
    snapshot = SnapshotMaker(settings).make(state, now=now, every=0.0)
    reports = quote(os.path.relpath(settings.reports.absolute(), folder)) + "/"
    return offline_page_of(snapshot, reports=reports, note=note)
