"""The required checks of a session, and the outcome of each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cakravia_verify.errors import CakraviaError

# What may become of a test that is not a gate check.
HARMLESS_ELSEWHERE = frozenset({"passed", "skipped", "deselected", "xfailed", "xpassed"})


class Checks:
    """The required checks of one session.

    A check passed only if its function was called once and returned, and pytest reported its setup, call and teardown
    as passed. A test that is not a function, such as a doctest, has only the report. Any other test may be skipped or
    deselected. Once it is selected, it must neither fail nor be left out.
    """

    def __init__(self, required: Sequence[str]) -> None:
        self._required = tuple(required)
        self._names: dict[str, str] = {}
        self._outcomes: dict[str, str] = {}
        self._gates: set[str] = set()
        self._calls: dict[str, int] = {}
        self._returned: set[str] = set()
        self._ended: set[str] = set()
        self._functions: set[str] = set()
        self._uncollected: list[pytest.CollectReport] = []

    def collected(self, items: list[pytest.Item]) -> None:
        """Require every gate check of the suite from now on, also if it is deselected later."""
        for item in items:
            self._names[item.nodeid] = item.name
            self._outcomes[item.nodeid] = "deselected"
            if isinstance(item, pytest.Function):
                self._functions.add(item.nodeid)
            if self._is_gate(item):
                self._gates.add(item.nodeid)

    def selected(self, items: list[pytest.Item]) -> None:
        for item in items:
            if self._outcomes.get(item.nodeid) == "deselected":
                self._outcomes[item.nodeid] = "missing"

    def observe_call(self, item: pytest.Item) -> None:
        """Watch the check's own function, so that no hook can turn its failure into a success."""
        if item.nodeid in self._names and isinstance(item, pytest.Function):
            item.obj = self._watched(item.obj, item.nodeid)

    def _watched(self, function: Callable[..., Any], nodeid: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            self._returned.discard(nodeid)
            self._calls[nodeid] = self._calls.get(nodeid, 0) + 1
            result = function(*arguments, **named)
            self._returned.add(nodeid)
            return result

        return call

    def reported(self, report: pytest.TestReport) -> None:
        node = report.nodeid
        if node not in self._names:
            return
        if str(report.outcome) == "rerun" or node in self._ended or self._calls.get(node, 0) > 1:
            self._outcomes[node] = "rerun"
        elif hasattr(report, "wasxfail"):
            self._outcomes[node] = "xfailed" if report.skipped else "xpassed"
        elif report.skipped:
            self._outcomes[node] = "skipped"
        elif report.failed:
            self._outcomes[node] = "failed" if report.when == "call" else "error"
        elif report.when == "call":
            is_seen = node in self._returned or node not in self._functions
            self._outcomes[node] = "passed" if is_seen else "failed"
        if report.when == "teardown":
            self._ended.add(node)

    def outcomes(self) -> dict[str, str]:
        """Return the outcome of each required check.

        A check whose teardown never came is missing. If several tests have the name of one check, all must have passed.
        """
        found = dict.fromkeys(self._required, "missing")
        names: set[str] = set()
        for node, outcome in self._outcomes.items():
            name = self._names[node]
            ended = outcome if outcome != "passed" or node in self._ended else "missing"
            if node not in self._gates and ended in HARMLESS_ELSEWHERE:
                continue
            if name not in names or ended != "passed":
                found[name] = ended
            names.add(name)
        return found

    # What pytest calls.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]):  # type: ignore[no-untyped-def]
        self.collected(items)
        result = yield
        self._put_in_order(items)
        self.selected(items)
        return result

    def _put_in_order(self, items: list[pytest.Item]) -> None:
        """Put the suite's checks into the order of the release, whatever changed it.

        A further check that needs the candidate, but no step after it, comes before the switch.
        """
        order = {name: number for number, name in enumerate(self._required)}
        places = [place for place, item in enumerate(items) if item.name in order]
        own = sorted((items[place] for place in places), key=lambda item: order[item.name])
        for place, item in zip(places, own, strict=True):
            items[place] = item
        switched = next((item for item in items if "switchover" in _fixtures_of(item)), None)
        early = [item for item in items if item.name not in order and _is_about_the_candidate(item)]
        if switched is not None and early:
            items[:] = [item for item in items if item not in early]
            items[items.index(switched) : items.index(switched)] = early

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self._uncollected.append(report)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        goes_on = session.config.getoption("continue_on_collection_errors")
        for report in self._uncollected:
            if report.skipped or goes_on:  # else pytest itself ends the session for it
                self._names[report.nodeid] = report.nodeid
                self._gates.add(report.nodeid)
                self._outcomes[report.nodeid] = "error" if report.failed else "skipped"
                pytest.exit(
                    f"{report.nodeid} was not collected ({report.outcome}: {_reason_of(report)}), "
                    "so its checks would be missing: install what it needs, correct it, or remove it from the suite"
                )
        self.selected(session.items)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item):  # type: ignore[no-untyped-def]
        self.observe_call(item)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
        report = yield
        if call.excinfo is not None and isinstance(call.excinfo.value, CakraviaError):
            # The message says what failed in the release; a traceback of our code does not help the operator.
            report.longrepr = str(call.excinfo.value)
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.reported(report)

    def _is_gate(self, item: pytest.Item) -> bool:
        return item.get_closest_marker("gate") is not None or item.name in self._required


def _fixtures_of(item: pytest.Item) -> Sequence[str]:
    found: Sequence[str] = getattr(item, "fixturenames", ())
    return found


def _is_about_the_candidate(item: pytest.Item) -> bool:
    return "candidate" in _fixtures_of(item) and "switchover" not in _fixtures_of(item)


def _reason_of(report: pytest.CollectReport) -> str:
    """Return why something was not collected, on one line."""
    reason = report.longrepr
    text = str(reason[-1]) if isinstance(reason, tuple) else str(reason or "")
    return (text.strip().splitlines() or ["no reason was given"])[-1]
