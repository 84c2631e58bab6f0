"""A release on a terminal: one calm screen, lines that fit, and `cakravia watch` beside it."""

from __future__ import annotations

import signal

import pytest

from tests.plugin.sessions.shop import SUITES, Shop
from tests.plugin.sessions.terminals import on_terminal


def test_release_on_a_terminal_is_shown_live_here_and_by_a_watch(shop: Shop) -> None:
    with on_terminal(shop, "deploy", "v1.0.0", "--set", "release.bake=3", columns=80) as terminal:
        terminal.wait_for("Releasing v1.0.0")
        watched = shop.begin_cakravia("watch", "--wait", "30")
        status = terminal.end()
        watch = watched.wait()
    assert (status, watch.status) == (0, 0), terminal.text + watch.output
    assert "left of 3 s" in terminal.text
    assert "p95 " in terminal.text
    lines = terminal.text.splitlines()
    assert [line for line in lines if len(line) > 80 and str(shop.folder) not in line] == []
    claims = [line for line in lines if "No request was lost" in line]
    assert len(claims) == 1
    assert "bake     ok" in watch.output
    assert "promoted; exit status 0" in watch.output
    assert "\x1b" not in watch.output


def test_watch_says_that_nothing_runs(shop: Shop) -> None:
    ended = shop.cakravia("watch")
    assert (ended.status, "no release runs" in ended.output) == (5, True), ended.output


@pytest.mark.slow  # the one of 80 columns always runs
def test_interrupt_does_not_end_in_green(shop: Shop) -> None:
    with on_terminal(shop, "deploy", "v1.1.0", "--set", "release.bake=30", columns=60) as terminal:
        terminal.wait_for("left of 30 s")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 2
    last = terminal.written.decode().rstrip().splitlines()[-1]
    assert "interrupted by SIGINT" in last
    assert "\x1b[32m" not in last


def test_quiet_session_shows_the_verdict_and_no_step(shop: Shop) -> None:
    ended = shop.pytest(str(SUITES / "prerequisites"), *shop.site, "-q", "-k", "proxy or nginx")
    assert "check    passed" not in ended.output
    assert "exit status" in ended.output
