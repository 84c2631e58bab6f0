"""What cannot be done is said in a sentence with a remedy, and nothing is touched by asking."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
from tests.plugin.sessions.shop import PLUGINS, SUITES, Ended, Shop, wait_for

DEPLOY = str(SUITES / "deploy")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A site with users, so that there is something to touch."""
    made = Shop(tmp_path_factory.mktemp("bad-input"))
    first = made.deploy("v1.0.0", "--bake", "0.1", "--set", "budget.min_requests=1", "--set", "budget.min_each=0")
    assert first.status == 0, first.output
    yield made
    assert made.tear_down() == []


@dataclass(frozen=True)
class Mistake:
    """A wrong command or setting, and the words that must be in the answer.

    Of mistakes that are found at the same place, all but one are `slow`.
    """

    name: str
    says: tuple[str, ...]
    arguments: tuple[str, ...] = ("--version", "v9.0.0")
    settings: tuple[tuple[str, str], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    suite: str = DEPLOY
    status: int = 4
    slow: bool = False

    def __str__(self) -> str:
        return self.name


LONG = "v" + "1" * 200
MISTAKES = (
    Mistake("no-version", ("which version?", "--version v1.2.0"), arguments=(), slow=True),
    Mistake("empty-version", ("which version?",), arguments=("--version", ""), slow=True),
    Mistake(
        "version-with-spaces",
        ("'v1 2' is not a version", "letters, digits"),
        arguments=("--version", "v1 2"),
        slow=True,
    ),
    Mistake("version-that-climbs", ("'../../etc' is not a version",), arguments=("--version", "../../etc")),
    Mistake("version-that-commands", ("is not a version",), arguments=("--version", "v1;rm -rf $(pwd)"), slow=True),
    Mistake("version-too-long", ("is not a version", "201 characters"), arguments=("--version", LONG), slow=True),
    Mistake("version-with-a-newline", ("is not a version",), arguments=("--release=v1\nv2",), slow=True),
    Mistake(
        "version-in-script-tags", ("is not a version",), arguments=("--version", "<script>alert(1)</script>"), slow=True
    ),
    Mistake(
        "version-of-other-letters",
        ("is not a version",),
        arguments=("--version", "v\N{FULLWIDTH DIGIT ONE}.2"),
        slow=True,
    ),
    Mistake("unknown-key", ("line 4", "unknown key 'slots.bluee'", "'blue'"), settings=(("blue = ", "bluee = "),)),
    Mistake("unknown-section", ("unknown key 'sluts'", "line "), settings=(("[slots]", "[sluts]"),), slow=True),
    Mistake("wrong-type", ("proxy.workers", "line "), settings=(("workers = 1", 'workers = "one"'),), slow=True),
    Mistake("not-toml", ("is not valid TOML", "line "), settings=(("[slots]", "[slots"),), slow=True),
    Mistake(
        "same-ports",
        ("proxy", "different ports"),
        arguments=("--version", "v9.0.0", "--set", "proxy.listen=127.0.0.1:{blue}"),
        slow=True,
    ),
    Mistake(
        "no-such-file",
        ("there is no ", "--site FILE"),
        arguments=("--version", "v9.0.0", "--site", "nowhere.toml"),
        slow=True,
    ),
    Mistake(
        "option-without-value",
        ("--set 'release.bake'", "section.key=value"),
        arguments=("--version", "v9.0.0", "--set", "release.bake"),
        slow=True,
    ),
    Mistake(
        "option-unknown",
        ("command line, release.cake", "unknown key", "did you mean 'bake'"),
        arguments=("--version", "v9.0.0", "--set", "release.cake=1"),
        slow=True,
    ),
    Mistake(
        "environment-unknown",
        ("CAKRAVIA_RELEASE_CAKE", "unknown key"),
        environment=(("CAKRAVIA_RELEASE_CAKE", "1"),),
        slow=True,
    ),
    Mistake(
        "environment-of-wrong-type",
        ("CAKRAVIA_TRAFFIC_USERS", "traffic.users"),
        environment=(("CAKRAVIA_TRAFFIC_USERS", "many"),),
        slow=True,
    ),
    Mistake(
        "nonsense-number", ("unrecognized arguments",), arguments=("--version", "v9.0.0", "--nonsense", "1"), slow=True
    ),
    Mistake(
        "bake-of-words", ("--bake", "invalid float"), arguments=("--version", "v9.0.0", "--bake", "long"), slow=True
    ),
    Mistake(
        "no-nginx",
        ("nginx", "is not a program on this machine"),
        arguments=("--version", "v9.0.0", "--set", "proxy.nginx=/nowhere/nginx"),
    ),
    Mistake(
        "no-program",
        ("[app] command", "is not a program on this machine"),
        arguments=("--version", "v9.0.0", "--set", 'app.command=["no-such-program"]'),
        slow=True,
    ),
    Mistake(
        "no-source", ("source",), arguments=("--version", "v9.0.0", "--set", "app.source=/nowhere"), status=4, slow=True
    ),
    Mistake(
        "bad-mix",
        ("unknown key 'traffic.mix.0.pth'", "did you mean 'path'"),
        settings=(('name = "page"', 'pth = "/"'),),
        slow=True,
    ),
    Mistake(
        "no-locustfile",
        ("locustfile",),
        arguments=("--version", "v9.0.0", "--set", "traffic.locustfile=nowhere.py"),
        slow=True,
    ),
    Mistake("in-parallel", ("-n",), arguments=("--version", "v9.0.0", "-p", "no:xdist", "-n", "2"), slow=True),
    Mistake(
        "in-parallel-with-xdist",
        ("a release has one order", "without -n"),
        arguments=("--version", "v9.0.0", "-n", "2"),
    ),
    Mistake(
        "with-reruns",
        ("without retries", "--reruns"),
        arguments=("--version", "v9.0.0", "-p", "retrying", "--reruns", "2"),
    ),
    Mistake("in-the-debugger", ("debugger", "--pdb"), arguments=("--version", "v9.0.0", "--pdb"), slow=True),
    Mistake(
        "without-html", ("pytest-html", "-p no:html"), arguments=("--version", "v9.0.0", "-p", "no:html"), slow=True
    ),
    Mistake("active-already", ("v1.0.0 is active already, on blue", "--redeploy"), arguments=("--version", "v1.0.0")),
    Mistake("nothing-before", ("there is no version before v1.0.0",), arguments=(), suite=str(SUITES / "rollback")),
    Mistake(
        "rollback-to-unknown",
        ("version v8 is not retained here; retained: v1.0.0",),
        arguments=("--version", "v8"),
        suite=str(SUITES / "rollback"),
        slow=True,
    ),
    Mistake("negative-wait", ("--wait",), arguments=("--version", "v9.0.0", "--wait", "soon"), slow=True),
)


@pytest.mark.parametrize(
    "mistake",
    [pytest.param(one, id=one.name, marks=[pytest.mark.slow] if one.slow else []) for one in MISTAKES],
)
def test_mistake_is_told_and_nothing_is_touched(mistake: Mistake, shop: Shop) -> None:
    before, good = shop.picture(), shop.settings.read_text()
    bad = good
    for old, new in mistake.settings:
        assert old in bad
        bad = bad.replace(old, new, 1)
    shop.settings.write_text(bad)
    try:
        arguments = [argument.replace("{blue}", str(shop.blue)) for argument in mistake.arguments]
        ended = shop.pytest(mistake.suite, *shop.site, *arguments, environment=dict(mistake.environment))
    finally:
        shop.settings.write_text(good)
    assert ended.status == mistake.status, ended.output
    for words in mistake.says:
        assert words in ended.output, ended.output
    assert not ended.has_traceback, ended.output
    assert shop.picture() == before


@pytest.mark.slow
def test_two_suites_at_once_are_refused(shop: Shop) -> None:
    before = shop.picture()
    ended = shop.pytest(DEPLOY, str(SUITES / "rollback"), *shop.site, "--version", "v9.0.0")
    assert ended.status == 4, ended.output
    assert shop.picture() == before


@pytest.fixture
def stranger() -> Iterator[Callable[[int], subprocess.Popen[bytes]]]:
    """A process of somebody else that listens on a port."""
    started: list[subprocess.Popen[bytes]] = []

    def listen(port: int) -> subprocess.Popen[bytes]:
        program = (
            f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); "
            "print('up', flush=True); time.sleep(600)"
        )
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        started.append(process)
        return process

    yield listen
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("place", ["users", "blue", pytest.param("green", marks=pytest.mark.slow)])
def test_port_of_a_stranger_is_named_and_left_alone(
    place: str, new_shop: Callable[..., Shop], stranger: Callable[[int], subprocess.Popen[bytes]]
) -> None:
    shop = new_shop()
    other = stranger(getattr(shop, place))
    ended = shop.deploy("v1.0.0")
    assert ended.status == 4, ended.output
    assert f"127.0.0.1:{getattr(shop, place)} is in use by process {other.pid}" in ended.output
    assert not ended.has_traceback
    assert other.poll() is None
    assert shop.history() == []
    assert not (shop.state / "versions").exists()


def test_reports_that_cannot_be_written_are_told_before_anything_begins(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop()
    shop.reports.write_text("a file where the folder should be")
    ended = shop.deploy("v1.0.0")
    assert ended.status == 4, ended.output
    assert "is not a folder" in ended.output
    assert shop.history() == []


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs another user to become")
def test_read_only_reports_are_told_before_anything_begins(tmp_path: Path) -> None:
    """Permission bits do not bind root, so the session runs as nobody, who may write all but the reports."""
    shop = Shop(tmp_path / "shop")
    shop.reports.mkdir()
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/tmp"):  # noqa: S108
            with contextlib.suppress(PermissionError):
                folder.chmod(folder.stat().st_mode | 0o005)
    shop.folder.chmod(0o777)
    shop.reports.chmod(0o555)
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-m", "pytest"]
    command += [DEPLOY, *shop.site, "--version", "v1.0.0", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=shop.folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "no report can be written to" in done.stdout + done.stderr
    assert "Permission denied" in done.stdout + done.stderr
    assert not shop.state.exists()


@dataclass
class Holder:
    """A release that runs until it is told to end."""

    shop: Shop
    pid: int
    ended: list[Ended] = field(default_factory=list)


@pytest.fixture
def holder(shop: Shop) -> Iterator[Holder]:
    running = shop.begin_pytest(
        DEPLOY, *shop.site, "--version", "v5.0.0", "--bake", "600", "--reason", "holds the site",
        environment={"PYTHONPATH": str(PLUGINS)},
    )  # fmt: skip
    wait_for(lambda: open_site(load_settings(shop.settings, environment={})).lock.holder())
    yield Holder(shop, running.process.pid)
    running.process.terminate()
    ended = running.wait()
    assert ended.status == 2, ended.output


def test_second_release_is_told_who_holds_the_site(holder: Holder) -> None:
    ended = holder.shop.deploy("v6.0.0")
    assert ended.status == 12, ended.output
    assert f"process {holder.pid} on " in ended.output
    assert "deploy v5.0.0" in ended.output
    assert not ended.has_traceback, ended.output
    for command in ("down", "up", "recover"):
        told = holder.shop.cakravia(command)
        assert told.status == 12, told.output
        assert f"process {holder.pid} on " in told.output
    waiting = holder.shop.deploy("v6.0.0", "--wait", "0.5")
    assert waiting.status == 12
    assert "waiting up to 0.5 s for" in waiting.output
    assert "held by" in holder.shop.cakravia("status").output


@pytest.mark.slow
def test_release_waits_for_the_one_before(shop: Shop) -> None:
    running = shop.begin_pytest(DEPLOY, *shop.site, "--version", "v5.1.0")
    wait_for(lambda: open_site(load_settings(shop.settings, environment={})).lock.holder())
    waited = shop.deploy("v5.2.0", "--wait", "60")
    assert running.wait().status == 0
    assert waited.status == 0, waited.output
    assert shop.serving() == "v5.2.0"
