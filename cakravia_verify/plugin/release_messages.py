"""The messages of a release session to the channels of [notify]. None of them changes the release."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from cakravia_verify.monitor.notify.dispatch import send_apart
from cakravia_verify.monitor.notify.message import Message
from cakravia_verify.monitor.notify.release_message import begun_message, end_message, stuck_message
from cakravia_verify.system.users import run_url, who_acts

if TYPE_CHECKING:
    from cakravia_verify.runs.release_run import ReleaseRun
    from cakravia_verify.runs.session_run import SessionOutcome


class ReleaseMessages:
    """Sends what a release does to the channels of the site."""

    def __init__(self, run: ReleaseRun) -> None:
        self._run = run

    def tell_begun(self) -> None:
        """Tell that the release has begun."""
        site = self._run.settings.site.name
        self._send(begun_message(self._run.release.intent, site=site, who=who_acts(), link=run_url(os.environ)))

    def tell_stuck(self, error: str) -> None:
        """Tell that an earlier release needs a person."""
        self._send(stuck_message(error, site=self._run.settings.site.name, link=run_url(os.environ)))

    @pytest.hookimpl(trylast=True)
    def pytest_cakravia_outcome(self, outcome: SessionOutcome) -> None:
        report = f"{socket.gethostname()}:{self._run.folder / 'report.html'}"
        self._send(end_message(outcome.document, link=" ".join(filter(None, (run_url(os.environ), report)))))

    def _send(self, message: Message) -> None:
        send_apart(message, self._run.settings)
