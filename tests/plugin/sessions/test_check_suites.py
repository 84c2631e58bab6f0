"""pytest suites, run as an operator runs it: checks of a live site of its own, which must leave it as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from cakravia_verify.report.verdict.file import read_verdict
from cakravia_verify.report.verdict.surrounding import altered_files
from tests.plugin.sessions.shop import SUITES, Ended, Shop, wait_for

# A busy machine answers late.
PATIENT = ("--set", "health.timeout=8", "--set", "budget.p99=8", "--set", "traffic.timeout=10")
SHORT = ("--duration", "1.5", "--set", "budget.min_requests=20")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A live site on v1.0.0."""
    site = Shop(tmp_path_factory.mktemp("check"))
    deployed = site.deploy("v1.0.0", "--bake", "0.5", "--set", "budget.min_requests=20", "--set", "budget.min_each=0")
    assert deployed.status == 0, deployed.output
    yield site
    site.tear_down()


def check(shop: Shop, *suites: str, more: tuple[str, ...] = ()) -> Ended:
    folders = [str(SUITES / suite) for suite in suites] or [str(SUITES)]
    return shop.pytest(*folders, *shop.site, *PATIENT, *more)


def verdict(shop: Shop) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((shop.reports / "latest-check" / "verdict.json").read_text())
    return told


def state_of(shop: Shop) -> dict[str, Any]:
    """What a check must not change. It adds its own report."""
    picture = shop.picture()
    return picture | {
        "files": {name: text for name, text in picture["files"].items() if not name.startswith("reports")}
    }


def test_the_complete_suite_passes_in_order_and_leaves_the_site_as_it_was(shop: Shop) -> None:
    before = state_of(shop)
    ended = check(shop, more=(*SHORT, "--fault", "slot-killed"))
    assert ended.status == 0, ended.output
    assert state_of(shop) == before
    told = verdict(shop)
    assert (told["decision"], told["kind"], told["outcome"]) == ("PASSED", "check", "checked")
    assert told["evidence"]["measured"]["lost"] == 0
    suites = ("prerequisites", "health", "config", "load", "failover")
    order = [ended.output.index(f"\n{suite}\n") for suite in suites]
    assert order == sorted(order)
    assert "deploy/test_" not in ended.output
    assert altered_files(read_verdict(shop.reports / "latest-check" / "verdict.json")) == []
    (cell,) = json.loads((shop.reports / "latest-check" / "failover.json").read_text())
    assert (cell["problems"], cell["executed_twice"], cell["moment"]) == ([], 0, "steady")
    assert sum(cell["sent"].values()) > 100
    assert "the active slot is killed" in (shop.reports / "latest-check" / "report.html").read_text()


def test_a_check_makes_no_copy_of_a_site_unless_it_is_wanted(shop: Shop) -> None:
    """The application of the copy would have the live variables, as that of the database."""
    ended = check(shop, more=(*SHORT, "-k", "users_lose", "-rs"))
    assert "set [failover] environment first" in ended.output


@pytest.mark.slow
def test_a_fault_of_a_killed_session_is_healed_by_the_next_command(shop: Shop) -> None:
    """The faults come to this live site: nothing else could show that its slot goes on."""
    options = ("--i-know-this-hurts", "--fault", "slot-stopped", "--duration", "120")
    session = shop.begin_pytest(str(SUITES / "failover"), *shop.site, *PATIENT, *options)
    active = shop.observe().active
    assert active is not None
    slot = psutil.Process(int(active.identity.partition("@")[0]))
    assert wait_for(lambda: slot.status() == psutil.STATUS_STOPPED, seconds=60), session.text
    assert "LIVE site shop" in session.text
    session.process.kill()
    session.process.wait(10)
    ended = shop.cakravia("status")
    assert "healed a fault whose session died" in ended.output
    assert wait_for(lambda: slot.status() != psutil.STATUS_STOPPED, seconds=10)
    assert not (shop.state / "faults").exists()


@pytest.mark.slow
def test_a_hand_edited_nginx_conf_fails_the_check_and_recover_mends_it(shop: Shop) -> None:
    configuration = shop.state / "nginx" / "nginx.conf"
    sound = configuration.read_text()
    configuration.write_text(sound.replace("server_tokens off;", "server_tokens on;"))
    ended = check(shop, "config")
    assert ended.status == 1, ended.output
    failed = {row["title"]: row["detail"] for row in verdict(shop)["checks"] if row["standing"] == "failed"}
    assert "server_tokens on" in failed["test_the_running_nginx_has_loaded_the_file_in_place"]
    assert shop.cakravia("recover").status == 0
    assert check(shop, "config").status == 0


@pytest.mark.slow
def test_a_configuration_that_nginx_refuses_fails_the_check(shop: Shop) -> None:
    configuration = shop.state / "nginx" / "nginx.conf"
    sound = configuration.read_text()
    configuration.write_text(sound + "\nnonsense;\n")
    ended = check(shop, "config", more=("-k", "in_place"))
    assert (ended.status, "unknown directive" in ended.output) == (1, True), ended.output
    configuration.write_text(sound)


def test_suites_of_a_release_and_of_checks_are_not_one_session(shop: Shop) -> None:
    before = shop.history()
    ended = check(shop, "health", "deploy")
    assert (ended.status, "sessions of their own" in ended.output) == (4, True), ended.output
    assert shop.history() == before


def test_the_doctor_names_a_dead_proxy_and_the_command_that_mends_it(shop: Shop) -> None:
    family = [each for master in shop.nginx() for each in (master, *master.children())]
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=10)
    ended = shop.cakravia("doctor", "--json")
    told = json.loads(ended.output)
    assert (ended.status, told["is_ok"]) == (1, False)
    assert told["causes"][0]["what"] == "the proxy does not run"
    assert told["evidence"]["readings"]["blue"]
    command = told["causes"][0]["remedy"].split()
    assert shop.cakravia(command[-1]).status == 0
    assert json.loads(shop.cakravia("doctor", "--json").output)["causes"] == []


@pytest.mark.slow
def test_a_site_that_serves_no_users_fails_the_health_suite_with_a_remedy(shop: Shop) -> None:
    shop.cakravia("down")
    ended = check(shop, "health")
    assert (ended.status, "cakravia" in ended.output, "no slot serves users" in ended.output) == (1, True, True)
    assert shop.cakravia("up").status == 0
