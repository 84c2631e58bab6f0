"""Rounds of probes: every endpoint of one target at once, each with its own deadline."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final
from urllib.parse import urlsplit

from cakravia_verify.health.models import Reading
from cakravia_verify.monitor.facts import Probe, ProbeTarget, Round
from cakravia_verify.monitor.sampling.prober import PhaseProber, ProbeTiming
from cakravia_verify.monitor.sampling.source import Collected
from cakravia_verify.monitor.store.samples import MetricSample, Phases, ProbeOutcome
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Address
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock

# A name server may take longer than any deadline of ours: the round ends without that probe.
EXTRA_SECONDS: Final = 0.5
PAGE: Final = "page"


class RoundSource:
    """Probes every endpoint of the contract at one target. `address` returns None when nothing runs there."""

    def __init__(
        self,
        target: ProbeTarget,
        settings: Settings,
        address: Callable[[], Address | None],
        *,
        tls: ssl.SSLContext | None = None,
        on_round: Callable[[], None] = lambda: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.name = str(target)
        self.every = settings.monitor.interval
        self.deadline = settings.monitor.timeout + 3 * self.every
        self._target = target
        self._address = address
        self._timeout = settings.monitor.timeout
        self._prober = PhaseProber(
            settings.contract,
            timeout=self._timeout,
            site=settings.site,
            root=settings.root,
            tls=tls,
            server_name=settings.site.host.partition(":")[0] if tls else "",
        )
        self._endpoints = tuple(settings.contract.endpoints)
        self._pool = ThreadPoolExecutor(len(self._endpoints), thread_name_prefix=f"probe-{target}")
        self._on_round = on_round
        self._clock = clock

    def collect(self) -> Collected:
        address, at = self._address(), self._clock.wall()
        if address is None:
            self._on_round()
            return Collected(Round(self._target, at, (), is_there=False))
        jobs = {endpoint: self._pool.submit(self._prober.measure, address, endpoint) for endpoint in self._endpoints}
        wait(jobs.values(), timeout=self._timeout + EXTRA_SECONDS)
        results = [self._result(endpoint, job, at) for endpoint, job in jobs.items()]
        self._on_round()
        return Collected(
            Round(self._target, self._clock.wall(), tuple(probe for probe, _ in results)),
            [sample for _, sample in results],
        )

    def _result(self, endpoint: str, job: Future[tuple[Reading, ProbeTiming]], at: float) -> tuple[Probe, MetricSample]:
        series = f"probe/{self._target}/{endpoint}"
        if not job.done():
            job.cancel()
            late = MetricSample(series, at, self._timeout, ProbeOutcome.NO_ANSWER, phases=Phases())
            return Probe(endpoint, "no answer in time"), late
        reading, measured = job.result()
        problem = reading.problem or self._wrong_slot(reading)
        outcome = measured.outcome
        if outcome is ProbeOutcome.OK and problem:
            outcome = _outcome_of(reading)
        sample = MetricSample(series, at, measured.total, outcome, reading.status_code or 0, measured.phases)
        return Probe(endpoint, problem, reading.slot, reading.version), sample

    def _wrong_slot(self, reading: Reading) -> str:
        if self._target not in (ProbeTarget.BLUE, ProbeTarget.GREEN) or reading.slot in (None, str(self._target)):
            return ""
        return f"answers as slot {reading.slot}"


def _outcome_of(reading: Reading) -> ProbeOutcome:
    if not reading.problem:
        return ProbeOutcome.WRONG_SLOT
    return ProbeOutcome.STATUS if reading.problem.startswith("status ") else ProbeOutcome.UNHEALTHY


class PageSource:
    """Probes the site's outside address as a user far away: name, certificate and all."""

    def __init__(self, settings: Settings, *, clock: Clock = SYSTEM_CLOCK) -> None:
        parts = urlsplit(settings.monitor.url)
        is_tls = parts.scheme == "https"
        self.name = str(ProbeTarget.OUTSIDE)
        self.every = settings.monitor.interval
        self.deadline = settings.monitor.timeout + 3 * self.every
        self._host = Address(parts.hostname or "", parts.port or (443 if is_tls else 80))
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout = settings.monitor.timeout
        self._prober = PhaseProber(
            # The address may lead out of this machine's network: no token of the contract goes there.
            settings.contract.model_copy(update={"headers": {}}),
            timeout=self._timeout,
            tls=ssl.create_default_context() if is_tls else None,
            server_name=parts.hostname or "",
        )
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="probe-outside")
        self._clock = clock

    def collect(self) -> Collected:
        at = self._clock.wall()
        job = self._pool.submit(self._prober.measure_page, self._host, self._path)
        wait([job], timeout=self._timeout + EXTRA_SECONDS)
        if not job.done():
            job.cancel()
            problem, measured, status = (
                "no answer in time",
                ProbeTiming(ProbeOutcome.NO_ANSWER, self._timeout, Phases()),
                0,
            )
        else:
            answer, measured = job.result()
            status = answer.status_code or 0
            problem = answer.problem or (f"status {status}" if status >= 400 else "")
        outcome = ProbeOutcome.STATUS if problem and measured.outcome is ProbeOutcome.OK else measured.outcome
        sample = MetricSample(
            f"probe/{ProbeTarget.OUTSIDE}/{PAGE}", at, measured.total, outcome, status, measured.phases
        )
        return Collected(Round(ProbeTarget.OUTSIDE, self._clock.wall(), (Probe(PAGE, problem),)), [sample])


def without_names() -> ssl.SSLContext:
    """Return a context for our own proxy on this machine: its certificate names the site, not this address."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
