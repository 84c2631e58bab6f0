"""Sessions that somebody or something meddled with: none promotes, and users are on a good version afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugin.sessions.lanes import HOME, Lanes, Scenario, each
from tests.plugin.sessions.shop import PLUGINS, SUITES, Ended, Shop

REFUSED = (1, 10, 13)
DEPLOY = SUITES / "deploy"
NO_SMOKE = ("--set", 'release.smoke=[{path="/api/health/live"}]')
CHECK = f"{DEPLOY}/test_deploy.py::test_no_request_was_lost"


def own_suite(shop: Shop, *, conftest: str = "", test: str = "", keeps_checks: bool = True) -> Path:
    """A copy of the deploy suite as an operator might have bent it."""
    folder = shop.folder / "own"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "conftest.py").write_text((DEPLOY / "conftest.py").read_text() + "\nimport pytest\n" + conftest)
    if keeps_checks:
        shutil.copy(DEPLOY / "test_deploy.py", folder)
    if test:
        (folder / "test_own.py").write_text("import pytest\n" + test)
    return folder


def bent(*, more: tuple[str, ...] = (), **named: object) -> Callable[[Shop, str], Ended]:
    """A session over an own suite."""

    def session(shop: Shop, version: str) -> Ended:
        folder = own_suite(shop, **named)  # type: ignore[arg-type]
        return shop.pytest(str(folder), *shop.site, "--version", version, *more)

    return session


def over(*arguments: str, environment: dict[str, str] | None = None) -> Callable[[Shop, str], Ended]:
    """A session with exactly these arguments, `{version}` filled in."""

    def session(shop: Shop, version: str) -> Ended:
        told = [argument.replace("{version}", version) for argument in arguments]
        return shop.pytest(*told, *shop.site, environment=environment)

    return session


FAILING = "@pytest.mark.gate\ndef test_own_check(bake):\n    assert False\n"
SWALLOW = """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    report.outcome = "passed"
    return report
"""
NOT_RUN = """
@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    return True
"""
EMPTIED = """
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    item.obj = lambda *_, **__: None
    item.fixturenames.clear()
    item._fixtureinfo.argnames = ()
"""
SKIPPING = """
def pytest_collection_modifyitems(items):
    for item in items:
        if "lost" in item.name:
            item.add_marker(pytest.mark.skip)
"""
XFAILING = SKIPPING.replace("pytest.mark.skip", "pytest.mark.xfail")
RERUNNING = """
from _pytest.runner import runtestprotocol
def pytest_runtest_protocol(item, nextitem):
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if any(report.failed for report in reports):
        item._initrequest()
        item.session.shouldfail = False
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""
FLAKY = "seen = []\n@pytest.mark.gate\ndef test_own_check(bake):\n    seen.append(1)\n    assert len(seen) > 1\n"
LOGREPORT_RAISES = """
def pytest_runtest_logreport(report):
    if "drained" in report.nodeid and report.when == "call":
        raise RuntimeError("a broken plugin")
"""
FINISH_RAISES = """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    raise RuntimeError("a broken plugin")
    yield
"""
GATE_RAISES = """
def pytest_cakravia_gate():
    raise RuntimeError("a broken gate")
def pytest_cakravia_step():
    raise RuntimeError("a broken observer")
"""
GATE_CHANGES_THE_RELEASE = """
def pytest_cakravia_gate(release):
    release.bake_bad_rounds = 0
"""
GATE_EXITS = """
import sys
def pytest_cakravia_gate():
    sys.exit(0)
"""
GATE_HANGS = """
import os, signal, threading, time
def pytest_cakravia_gate():
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    time.sleep(60)
"""
OBSERVER_EXITS = """
import sys
def pytest_cakravia_step(event):
    if event.kind == "undone":
        sys.exit(0)
"""
SUMMARY_EXITS = """
import sys
def pytest_terminal_summary():
    sys.exit(0)
"""
EXIT_ZERO = """
@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    session.exitstatus = 0
"""
SHADOWS = '''
def test_no_request_was_lost():
    """Has the name of a required check, and checks nothing."""
'''
FAKE_LOCUST = "import sys; print('no such module'); sys.exit({status})\n"
LYING_LOCUST = """
import json, os, sys, time
from pathlib import Path
plan = json.loads(Path(os.environ["CAKRAVIA_TRAFFIC_PLAN"]).read_text())
folder = Path(plan["records"])
names = "id,connection,reused,method,name,planned,started,connected,sent,first_byte,done,status,bytes,slot,version," \\
    "served_slot,outcome,detail,strict"
file = (folder / "requests.csv").open("w", buffering=1)
file.write(names + "\\n")
import threading
told = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), told.set()), daemon=True).start()
number = 0
while not told.is_set():
    at = int(time.monotonic() * 1e6)
    file.write(f"{plan['run']}-{number},1,1,GET,page,{at},{at},,{at+10},{at+900},{at+1000},200,100,green,,green,"
        "answered,,1\\n")
    number += 1
    time.sleep(0.01)
json.dump({"schema": 1, "planned": number, "started": number, "finished": number, "never_started": 0, "unfinished": 0,
    "rate_planned": 100.0, "rate_achieved": 100.0, "users": 20, "round_trip": 0, "idle_closes": 0,
    "anchor": {"wall": 0, "monotonic": 0}, "schedule_lag": {"p50": 0, "p99": 0, "max": 0}, "ended": "asked"},
    (folder / "traffic.json").open("w"))
"""


def with_locust(source: str, *, kind: str = "deploy") -> Callable[[Shop, str], Ended]:
    """A session that finds another `locust` package than the real one."""

    def session(shop: Shop, version: str) -> Ended:
        package = shop.folder / "other-locust" / "locust"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(source)
        return shop.release(kind, version, environment={"PYTHONPATH": str(package.parent)})

    return session


def scripted(shop: Shop, version: str) -> Ended:
    """No session at all: the release is run by a program, which has no check to show."""
    return shop.run_script("scripted.py", version)


def with_test(body: str) -> Callable[[Shop, str], Ended]:
    return bent(test=f"def test_own(switchover):\n    {body}\n")


def with_a_verdict_left(shop: Shop, version: str) -> Ended:
    """This release dies, and where its verdict would be lies one that promoted another version of the same artifact."""
    good, digest = _promoted(shop)
    killed = shop.deploy(version, "-p", "sabotage", environment={"CAKRAVIA_TEST_SABOTAGE": "kill@bake.begins"})
    assert killed.status == -9, killed.output
    (own,) = shop.reports.glob(f"*-{version[:40]}-*")
    for file in good.iterdir():
        if file.is_file():
            shutil.copy(file, own)
    (shop.reports / "latest").unlink()
    (shop.reports / "latest").symlink_to(own.name)
    verdict = str(shop.reports / "latest" / "verdict.json")
    return shop.cakravia("gate", verdict, "--version", version, "--digest", digest)


def _promoted(shop: Shop) -> tuple[Path, str]:
    """The report of the version that users are on, and its digest."""
    for report in shop.reports.iterdir():
        verdict = report / "verdict.json"
        if (
            not report.is_symlink()
            and verdict.exists()
            and (told := json.loads(verdict.read_text()))["exit_status"] == 0
        ):
            return report, str(told["digest"])
    raise AssertionError("no release of this site was promoted")


SELECTION = (
    Scenario(
        "one-check-only",
        session=over(str(DEPLOY), "--version", "{version}", "-k", "test_no_request_was_lost"),
        slow=True,
    ),
    Scenario("deselected-by-k", session=over(str(DEPLOY), "--version", "{version}", "-k", "not lost"), check=True),
    Scenario("deselected-by-m", session=over(str(DEPLOY), "--version", "{version}", "-m", "not gate"), slow=True),
    Scenario(
        "deselected-by-name",
        session=over(
            str(DEPLOY),
            "--version",
            "{version}",
            "--deselect",
            "deploy/test_deploy.py::test_no_request_was_lost",
        ),
        slow=True,
    ),
    Scenario(
        "all-deselected-by-k", session=over(str(DEPLOY), "--version", "{version}", "-k", "no_such_name"), slow=True
    ),
    Scenario(
        "all-deselected-by-name",
        session=over(str(DEPLOY), "--version", "{version}", "--deselect", "deploy/test_deploy.py"),
        slow=True,
    ),
    Scenario("one-node-only", session=over(CHECK, "--version", "{version}"), slow=True),
    Scenario(
        "file-ignored",
        session=over(str(DEPLOY), "--version", "{version}", f"--ignore={DEPLOY}/test_deploy.py"),
        slow=True,
    ),
    Scenario("nothing-collected", session=bent(keeps_checks=False), slow=True),
    Scenario("collect-only", session=over(str(DEPLOY), "--version", "{version}", "--collect-only")),
    Scenario("setup-only", session=over(str(DEPLOY), "--version", "{version}", "--setup-only"), slow=True),
    Scenario("setup-plan", session=over(str(DEPLOY), "--version", "{version}", "--setup-plan"), slow=True),
    Scenario(
        "fixtures-listed", session=over(str(DEPLOY), "--version", "{version}", "--fixtures"), statuses=(10,), slow=True
    ),
    Scenario(
        "markers-listed", session=over(str(DEPLOY), "--version", "{version}", "--markers"), statuses=(10,), slow=True
    ),
    Scenario("help", session=over(str(DEPLOY), "--version", "{version}", "--help"), statuses=(10,)),
    Scenario("options-from-environment", environment={"PYTEST_ADDOPTS": "-k staged"}, slow=True),
    Scenario("exit-at-first", ("--exitfirst",), misbehave="errors:1", slow=True),
)
SWALLOWED = (
    Scenario("failures-swallowed", session=bent(conftest=SWALLOW, test=FAILING), slow=True),
    Scenario("checks-not-run", session=bent(conftest=NOT_RUN), slow=True),
    Scenario("checks-emptied", session=bent(conftest=EMPTIED), slow=True),
    Scenario("check-skipped", session=bent(conftest=SKIPPING)),
    Scenario("check-xfailed", session=bent(conftest=XFAILING), slow=True),
    Scenario(
        "check-skips-itself",
        session=bent(test='@pytest.mark.gate\ndef test_own():\n    pytest.skip("later")\n'),
        slow=True,
    ),
    Scenario("own-check-fails", session=bent(test=FAILING), slow=True),
    Scenario("rerun-until-green", session=bent(conftest=RERUNNING, test=FLAKY), slow=True),
    Scenario(
        "check-shadowed",
        session=bent(
            test=SHADOWS, more=("--deselect", "own/test_deploy.py::test_no_request_was_lost", "--rootdir", ".")
        ),
        slow=True,
    ),
    Scenario("hook-breaks", session=bent(conftest=LOGREPORT_RAISES), statuses=(1, 10), slow=True),
    Scenario("finish-hook-breaks", session=bent(conftest=FINISH_RAISES), statuses=(1, 3, 10), slow=True),
    Scenario("own-gate-breaks", session=bent(conftest=GATE_RAISES), slow=True),
    Scenario("own-gate-objects", session=bent(conftest="def pytest_cakravia_gate():\n    return 'not on a Friday'\n")),
    Scenario("own-gate-changes-the-release", session=bent(conftest=GATE_CHANGES_THE_RELEASE), slow=True),
    Scenario("own-gate-exits", session=bent(conftest=GATE_EXITS), slow=True),
    Scenario(
        "own-gate-fails", session=bent(conftest="def pytest_cakravia_gate():\n    pytest.fail('no')\n"), slow=True
    ),
    Scenario("own-gate-hangs", session=bent(conftest=GATE_HANGS), statuses=(2,), slow=True),
    Scenario("observer-exits", session=bent(conftest=OBSERVER_EXITS, test=FAILING), slow=True),
    Scenario("summary-exits", session=bent(conftest=SUMMARY_EXITS, test=FAILING), slow=True),
    Scenario(
        "module-not-collected",
        session=bent(test=f"pytest.importorskip('no_such_library')\n{FAILING}"),
        statuses=(10,),
        slow=True,
    ),
    Scenario("pytests-own-version", session=over(str(DEPLOY), "-V", "{version}"), statuses=(4,), slow=True),
    Scenario("exit-status-whitened", session=bent(conftest=EXIT_ZERO, test=FAILING), slow=True),
    Scenario("pytest-exit-zero", session=with_test('pytest.exit("done", returncode=0)')),
    Scenario("sys-exit-zero", session=with_test("raise SystemExit(0)"), slow=True),
    Scenario(
        "no-asserts",
        ("--assert=plain",),
        misbehave="errors:0.2",
        environment={"PYTHONOPTIMIZE": "1"},
        statuses=(4,),
        slow=True,
    ),
    Scenario("fixtures-blocked", ("-p", "no:cakravia-fixtures"), slow=True),
    Scenario("gatekeeper-blocked", ("-p", "no:cakravia-gatekeeper"), statuses=(1, 4, 10), slow=True),
    Scenario("plugin-blocked", ("-p", "no:cakravia"), statuses=(4,)),
    Scenario("plugin-not-loaded", environment={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, statuses=(4,), slow=True),
    Scenario("no-html", ("-p", "no:html"), statuses=(4,), slow=True),
    Scenario("no-suite", session=scripted),
)
IDLE_USER = ("--set", f"traffic.locustfile={PLUGINS / 'idle.py'}")
TRAFFIC = (
    Scenario("traffic-killed", sabotage="kill-traffic@bake.begins", check=True),
    Scenario("traffic-killed-at-the-end", sabotage="kill-traffic", slow=True),
    Scenario("traffic-hung", sabotage="stop-traffic@bake.begins", slow=True),
    Scenario("traffic-missing", session=with_locust(FAKE_LOCUST.format(status=1))),
    Scenario("traffic-ends-early", session=with_locust(FAKE_LOCUST.format(status=0)), slow=True),
    Scenario("client-lies", session=with_locust(LYING_LOCUST), slow=True),
    # With requests of somebody's own beside ours, nothing is known of their number before they are sent.
    Scenario("too-little-traffic", ("--rate", "20", "--set", "budget.min_requests=5000", *IDLE_USER), slow=True),
    Scenario("records-cut", sabotage="cut-records", check=True),
    Scenario("records-thinned", sabotage="thin-records", slow=True),
    Scenario(
        "records-whitened",
        (*NO_SMOKE, "--set", "budget.errors=0.01"),
        misbehave="errors:0.008",
        sabotage="whiten-records",
        slow=True,
    ),
    Scenario("records-doubled", sabotage="double-records", slow=True),
    Scenario("records-of-another-hour", sabotage="shift-records", slow=True),
    Scenario("records-gone", sabotage="drop-records", slow=True),
    Scenario("records-cut-midway", sabotage="cut-records@bake.begins", slow=True),
    Scenario("access-log-cut", sabotage="cut-access-log@bake.begins", slow=True),
    Scenario("application-logs-gone", sabotage="drop-application-logs@bake.begins", slow=True),
    Scenario("application-logs-gone-at-the-end", sabotage="drop-application-logs", slow=True),
)
SITE = (
    Scenario("flipped-back", sabotage="flip-back@bake.begins", slow=True),
    Scenario("flipped-back-at-the-end", sabotage="flip-back", slow=True),
    Scenario("flipped-back-and-forth", sabotage="flip-back-and-forth@bake.begins", slow=True),
    Scenario("candidate-restarted", sabotage="restart-candidate@bake.begins", slow=True),
    Scenario("candidate-restarted-at-the-end", sabotage="restart-candidate", check=True),
    Scenario("candidate-replaced", sabotage="replace-candidate@bake.begins", slow=True),
    Scenario("candidate-killed", sabotage="kill-candidate@bake.begins", slow=True),
    Scenario("candidate-killed-before-the-switch", sabotage="kill-candidate@smoke.done", slow=True),
    Scenario("candidate-hung", ("--set", "health.deadline=2"), sabotage="stop-candidate@prove.begins", slow=True),
    Scenario("candidate-hung-in-the-bake", sabotage="stop-candidate@bake.begins", slow=True),
    Scenario("half-of-the-users", sabotage="split-users@bake.begins", is_spoiling=True, slow=True),
    Scenario("page-served-from-elsewhere", sabotage="serve-a-copy@bake.begins", is_spoiling=True, slow=True),
    Scenario("orders-replayed", sabotage="replay-orders"),
    Scenario("old-slot-stands-in", sabotage="let-the-old-slot-stand-in@bake.begins"),
    Scenario(
        "no-way-back",
        NO_SMOKE,
        misbehave="errors:0.5",
        sabotage="lose-the-way-back@switch.done",
        statuses=(11,),
        is_spoiling=True,
    ),
    Scenario("nginx-killed", sabotage="kill-nginx@bake.begins", is_spoiling=True),
)
STEPS = (
    Scenario("users-moved-early", sabotage="flip-forward@prove.done", check=True),
    Scenario(
        "request-held-on-the-old-slot", ("--set", "release.drain=0.5"), sabotage="hold-a-request@smoke.done", slow=True
    ),
    Scenario("connections-broken-at-last", sabotage="break-connections@test_no_request_was_lost", slow=True),
)
BACK = (
    Scenario(
        "back-to-never-ready", ("--set", "health.deadline=2"), kind="rollback", misbehave="never-ready", check=True
    ),
    Scenario("back-moved-early", kind="rollback", sabotage="flip-forward@prove.done", slow=True),
    Scenario("back-killed-before-the-switch", kind="rollback", sabotage="kill-candidate@smoke.done", slow=True),
    Scenario("back-to-wrong-version", kind="rollback", misbehave="wrong-version:v0.0.0", slow=True),
    Scenario("back-to-errors", NO_SMOKE, kind="rollback", misbehave="errors:0.5", slow=True),
    Scenario("back-own-gate-objects", ("-p", "objecting"), kind="rollback", slow=True),
    Scenario("back-replaced", kind="rollback", sabotage="restart-candidate", slow=True),
)
# What these lack is evidence: their target is healthy and has the users, as somebody wanted.
BACK_UNPROVEN = (
    Scenario("back-to-slow", (*NO_SMOKE, "--set", "budget.p99=0.3"), kind="rollback", misbehave="slow:0.5", slow=True),
    Scenario(
        "back-connections-broken",
        kind="rollback",
        sabotage="break-connections@test_no_request_was_lost_going_back",
    ),
    Scenario("back-deselected-by-k", ("-k", "not lost"), kind="rollback", slow=True),
    Scenario("back-traffic-killed", kind="rollback", sabotage="kill-traffic@bake.begins", slow=True),
    Scenario("back-records-cut", kind="rollback", sabotage="cut-records", slow=True),
    Scenario(
        "back-traffic-missing",
        session=with_locust(FAKE_LOCUST.format(status=1), kind="rollback"),
        kind="rollback",
        slow=True,
    ),
)
WRITTEN = (
    Scenario(
        "verdict-of-another-release", session=with_a_verdict_left, statuses=(10,), follow_up=("recover",), slow=True
    ),
    Scenario("report-in-the-way", sabotage="report-in-the-way", statuses=(1, 10), is_spoiling=True, slow=True),
    Scenario(
        "reports-in-the-way", sabotage="reports-in-the-way@bake.begins", statuses=(1, 10), is_spoiling=True, slow=True
    ),
    Scenario("history-in-the-way", sabotage="history-in-the-way@bake.begins", follow_up=("recover",), slow=True),
    Scenario("history-in-the-way-at-the-end", sabotage="history-in-the-way", follow_up=("recover",), slow=True),
)
BUDGETS = tuple(
    Scenario(f"budget-{name}", ("--set", pair), misbehave="errors:0.7", statuses=(4, 1), slow=is_slow)
    for name, pair, is_slow in (
        ("all-lost", "budget.lost=1000000", True),
        ("all-errors", "budget.errors=1.0", True),
        ("not-a-number", "budget.errors=nan", False),
        ("endless", "budget.p99=inf", True),
        ("no-requests", "budget.min_requests=0", False),
        ("no-rate", "budget.min_rate_held=0", True),
        ("negative", "budget.lost=-1", True),
        ("text", "budget.lost=many", False),
    )
)
STAYING = (*SELECTION, *SWALLOWED, *TRAFFIC, *SITE, *STEPS, *BACK, *WRITTEN, *BUDGETS)
ALL = (*STAYING, *BACK_UNPROVEN)


@pytest.mark.parametrize("scenario", each(*ALL))
def test_sabotaged_release_does_not_promote(scenario: Scenario, lanes: Lanes) -> None:
    seen = lanes.seen(scenario)
    assert seen.verdict.get("decision") != "PROMOTE", seen.told
    assert seen.outcome != "promoted", seen.told
    assert seen.ended.status in (scenario.statuses or REFUSED), seen.told
    if scenario.sabotage:
        assert seen.performed == tuple(scenario.sabotage.replace(",", " ").split()) or seen.performed == (
            f"{scenario.sabotage}@gate",
        ), seen.told


@pytest.mark.parametrize("scenario", each(*(one for one in STAYING if not one.is_spoiling)))
def test_users_of_a_sabotaged_release_are_where_they_were(scenario: Scenario, lanes: Lanes) -> None:
    seen = lanes.seen(scenario)
    assert seen.after == seen.before, seen.told
    assert seen.after[0] == HOME
    assert seen.traffic_left == 0


@pytest.mark.parametrize("scenario", each(*BACK_UNPROVEN))
def test_rollback_without_enough_evidence_leaves_users_on_its_healthy_target_and_says_so(
    scenario: Scenario, lanes: Lanes
) -> None:
    seen = lanes.seen(scenario)
    assert (seen.ended.status, seen.outcome) == (13, "unproven"), seen.told
    assert seen.verdict["decision"] == "INCONCLUSIVE"
    assert seen.verdict["outcome"] == "unproven"
    assert seen.after[0] == seen.version
    assert seen.state.drift == ()
    assert f"Users are back on {seen.version}" in seen.ended.output
    assert seen.traffic_left == 0
