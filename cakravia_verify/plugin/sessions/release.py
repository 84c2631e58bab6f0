"""The session of a deploy or a rollback."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from cakravia_verify.command_options import with_options
from cakravia_verify.gate.model import Exit
from cakravia_verify.history.journal import Journal
from cakravia_verify.plugin.live_screen import LiveScreen, live_screen
from cakravia_verify.plugin.reporter import ENDS_EARLY
from cakravia_verify.plugin.sessions.base import Session
from cakravia_verify.plugin.snapshot import snapshot_of
from cakravia_verify.release.machine import StepEvent
from cakravia_verify.report.attestation.keys import read_signer
from cakravia_verify.report.attestation.verification import Wanted
from cakravia_verify.report.live.follower import ReleaseFollower
from cakravia_verify.runs.permit import Permit, permit_of
from cakravia_verify.runs.preparation import Request
from cakravia_verify.runs.release_run import ReleaseRun
from cakravia_verify.runs.users_first import take_over
from cakravia_verify.slots import checked_version

if TYPE_CHECKING:
    from cakravia_verify.plugin.release_messages import ReleaseMessages


class ReleaseSession(Session[ReleaseRun]):
    """A session that moves users to another version, or keeps them where they are."""

    exit_without_report: ClassVar[Exit] = Exit.NEEDS_A_PERSON
    _screen: LiveScreen | None = None

    def new_run(self) -> ReleaseRun:
        option = self.config.getoption
        if option("duration") is not None:
            raise pytest.UsageError("--duration is for suites/load; a release bakes for [release] bake (--bake)")
        version = option("release") or ""
        if self.policy.needs_version and not version:
            raise pytest.UsageError(
                with_options("which version? As in: cakravia deploy v1.2.0, or: pytest suites/deploy --version v1.2.0")
            )
        site = self.open_site()
        if site.settings.signing_key.exists():
            read_signer(site.settings.signing_key)
        request = Request(
            kind=self.policy.name,
            version=checked_version(version) if version else "",
            reason=option("reason"),
            redeploy=option("redeploy"),
            wait=option("wait"),
            permit=self._permit(version, now=site.clock.wall()),
            accept_changes=tuple(option("accept_changes")),
            digest=option("digest") or "",
        )
        self._refuse_other_digest(request)
        return ReleaseRun(site, request, on_event=self._on_event, moved=take_over())

    def open(self) -> None:
        messages = self._messages()
        try:
            super().open()
        except pytest.exit.Exception as ended:
            if messages and ended.returncode == Exit.NEEDS_A_PERSON:
                reason = ended.msg
                self.notify(lambda: messages.tell_stuck(reason))
            raise
        if messages:
            self.config.pluginmanager.register(messages)
            self.notify(messages.tell_begun)

    def _messages(self) -> ReleaseMessages | None:
        """Return what tells the channels of the site about this release, None if it has none."""
        if not self.run.settings.notify.channels:
            return None
        from cakravia_verify.plugin.release_messages import ReleaseMessages

        return ReleaseMessages(self.run)

    def _refuse_other_digest(self, request: Request) -> None:
        if request.digest and self.policy.goes_back:
            raise pytest.UsageError("--digest is for a deploy; a rollback goes to what was promoted here")
        if request.digest and request.digest != request.only_digest:
            raise pytest.UsageError(f"--digest {request.digest} is not what the verdict permits: {request.only_digest}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        super().pytest_sessionstart()
        self._screen = live_screen(self.config, self._follower)
        if self._screen is not None:
            self._screen.start()

    def end_progress(self) -> None:
        if self._screen is not None:
            self._screen.stop()
            self._screen = None

    def _follower(self) -> ReleaseFollower:
        # A journal of its own: the one of the site belongs to the session's thread.
        settings = self.run.settings
        return ReleaseFollower(Journal(settings.history), reports=settings.reports, release=self.run.id)

    def _permit(self, version: str, *, now: float) -> Permit | None:
        """Return what the signed verdict on the command line permits, None if none is required. Raises UsageError."""
        option = self.config.getoption
        file: Path | None = option("require_verdict")
        if file is None:
            if option("trust") or option("policy"):
                raise pytest.UsageError("--trust and --policy belong to --require-verdict FILE")
            return None
        if self.policy.goes_back:
            raise pytest.UsageError("--require-verdict is for a deploy; a rollback goes to what was promoted here")
        wanted = Wanted(version, policy=option("policy"), days=option("max_age"))
        return permit_of(file, trust=option("trust"), wanted=wanted, now=now)

    def more_required(self) -> Sequence[str]:
        reviewed = self.run.settings.reviewed
        return reviewed.profile.required if reviewed and not self.policy.goes_back else ()

    def objections(self) -> Sequence[str]:
        """Return the objections of operators' own gates. A gate that fails objects."""
        if self._is_failed:
            return ()
        try:
            answers = self.config.hook.pytest_cakravia_gate(config=self.config, release=snapshot_of(self.run.release))
        except BaseException as error:  # pytest.fail and sys.exit too: the release comes to its end
            if isinstance(error, KeyboardInterrupt) and self.interrupts.received:
                return ()
            return (f"an own gate failed: {type(error).__name__}: {error}",)
        return tuple(str(answer) for answer in answers if answer)

    @property
    def _is_failed(self) -> bool:
        return bool(self.interrupts.received) or self.run.release.failure is not None

    def _on_event(self, event: StepEvent) -> None:
        self.progress.event(event)
        self.notify(lambda: self.config.hook.pytest_cakravia_step(config=self.config, event=event))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item):  # type: ignore[no-untyped-def]
        report = yield
        if report.failed and not hasattr(report, "wasxfail") and self.checks.outcomes().get(item.name) is not None:
            item.session.shouldfail = f"{item.name} {ENDS_EARLY}"
        return report
