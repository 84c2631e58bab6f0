"""Applications that know nothing of this project are asked as their users ask them, and released by settings alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.platforms.process.nginx.certificates import make_pair
from tests.plugin.sessions.shop import REPOSITORY, Shop, Witness
from tests.ports import free_ports

APPLICATIONS = Path(__file__).resolve().parent / "applications"
SETTINGS = """\
[site]
name = "foreign"
{site}
[slots]
blue = {blue}
green = {green}
[proxy]
listen = "127.0.0.1:{users}"
workers = 1
[app]
command = ["{{python}}", "foreign.py"]
source = "{source}"
grace = 3.0
environment = {{ {environment} }}
[health]
consecutive = 2
interval = 0.1
timeout = 1.0
deadline = 6.0
[release]
bake = 2.0
drain = 3.0
drain_minimum = 0.1
[budget]
min_requests = 100
min_rate_held = 0.7
{contract}
[traffic]
users = 10
rate = 60.0
round_trip = 0.0
timeout = 2.0
{traffic}
"""
PLAIN = '[contract]\nhealth = "/health"\nready = ""\nlive = ""\nstatus = ""\n'
GENERIC = 'profile = "generic"'


def write_settings(
    shop: Shop, *, site: str = "", environment: str = "", contract: str = PLAIN, traffic: str = GENERIC
) -> None:
    """Let the site be one of the foreign application, with these parts of its settings."""
    parts = {"site": site, "environment": environment, "contract": contract, "traffic": traffic}
    ports = {"users": shop.users, "blue": shop.blue, "green": shop.green}
    shop.settings.write_text(SETTINGS.format(source=APPLICATIONS, **ports, **parts))


@pytest.fixture
def new_site(new_shop: Callable[..., Shop]) -> Callable[..., Shop]:
    """Make a site of the foreign application from parts of its settings."""

    def make(**parts: str) -> Shop:
        shop = new_shop()
        write_settings(shop, **parts)
        return shop

    return make


def printed_contract() -> str:
    """Return the example of an application with one plain endpoint, as docs/APPLICATION.md prints it."""
    page = (REPOSITORY / "docs" / "APPLICATION.md").read_text()
    blocks: list[str] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    return next(block for block in blocks if 'status = ""' in block)


@pytest.mark.check
def test_the_printed_example_of_one_plain_endpoint_is_released_twice(new_site: Callable[..., Shop]) -> None:
    shop = new_site(contract=printed_contract())
    for version in ("v1.0.0", "v1.1.0"):
        ended = shop.deploy(version)
        assert ended.status == 0, ended.output
    measured = shop.verdict()["evidence"]["measured"]
    assert (measured["lost"], measured["errors"]) == (0, 0)
    assert shop.answer("/")[:2] == (200, "green")


@pytest.mark.slow
def test_a_health_answer_that_is_success_in_other_words_is_released(new_site: Callable[..., Shop]) -> None:
    body = """HEALTH_BODY = '{"status": {"code": "success"}}', HEALTH_TYPE = "application/health+json" """
    ended = new_site(environment=body).deploy("v1.0.0")
    assert ended.status == 0, ended.output


HOST, TOKEN = "shop.example.com", "a-token-in-a-file"
ASKED = f'host = "{HOST}"\nscheme = "https"'


def strict(new_site: Callable[..., Shop]) -> Shop:
    """Return a site whose application answers its own name, https and a token only."""
    header = 'headers = { Authorization = "Bearer {file:token}" }\n'
    shop = new_site(
        site=ASKED,
        environment=f'ALLOWED_HOST = "{HOST}", FORCE_TLS = "1", TOKEN = "{TOKEN}"',
        contract=PLAIN + header,
        traffic=header + GENERIC,
    )
    (shop.folder / "token").write_text(f"{TOKEN}\n")
    return shop


def test_an_application_that_answers_its_own_name_by_https_is_released_twice(new_site: Callable[..., Shop]) -> None:
    shop = strict(new_site)
    for version in ("v1.0.0", "v1.1.0"):
        ended = shop.deploy(version)
        assert ended.status == 0, ended.output
        assert TOKEN not in ended.output
    measured = shop.verdict()["evidence"]["measured"]
    assert (measured["lost"], measured["errors"]) == (0, 0)
    written = [path for path in shop.reports.rglob("*") if path.is_file()]
    assert written
    assert [path for path in written if TOKEN.encode() in path.read_bytes()] == []


@pytest.mark.slow
def test_users_who_come_by_tls_are_measured_by_tls(new_site: Callable[..., Shop]) -> None:
    shop = strict(new_site)
    pair = make_pair(shop.folder, "site")
    (port,) = free_ports(1)
    tls = f'tls_listen = "127.0.0.1:{port}"\ntls_certificate = "{pair.certificate}"\ntls_key = "{pair.key}"\n'
    shop.settings.write_text(shop.settings.read_text().replace("[proxy]\n", f"[proxy]\n{tls}"))
    for version in ("v1.0.0", "v1.1.0"):
        ended = shop.deploy(version)
        assert ended.status == 0, ended.output
    assert json.loads((shop.latest() / "traffic-plan.json").read_text())["url"] == f"https://127.0.0.1:{port}"


@pytest.mark.slow
def test_an_application_that_does_not_know_our_host_says_so_in_the_refusal(new_site: Callable[..., Shop]) -> None:
    ended = new_site(environment=f'ALLOWED_HOST = "{HOST}"').deploy("v1.0.0", "--set", "health.deadline=1")
    assert ended.status == 1
    assert "status 400: DisallowedHost: 127.0.0.1" in ended.output


@pytest.mark.slow
def test_a_candidate_that_dies_before_it_is_confirmed_loses_its_users_at_once(new_site: Callable[..., Shop]) -> None:
    shop = new_site()
    assert shop.deploy("v1.0.0").status == 0
    patient = ("--set", "release.confirm_timeout=50", "--set", "release.confirmations=10000")
    with Witness(shop.users) as witness:
        # Two pages are the smoke request's, one through the proxy. The third is a user's, right after the switch.
        ended = shop.deploy("v1.1.0", *patient, "--set", 'app.environment.DIE_AFTER_PAGES="3"')
    assert ended.status == 1, ended.output
    assert "green (v1.1.0) ended by itself" in ended.output
    failed = [entry["step"] for entry in shop.history() if entry["event"] == "step.failed"]
    assert failed == ["confirm"]
    assert shop.answer("/")[:2] == (200, "blue")
    # 50 s of waiting would have cost users some 3,000 requests, and the witness hundreds.
    measured = shop.verdict()["evidence"]["measured"]
    assert 0 < measured["lost"] < 300
    assert witness.answers[-1][1] == "blue"


MIX = """profile = "custom"
[[traffic.mix]]
path = "/"
weight = 9
[[traffic.mix]]
path = "{path}"
"""


@dataclass(frozen=True)
class Impossible:
    """Settings under which no release can pass, and what the refusal names."""

    arguments: tuple[str, ...]
    says: str

    def __str__(self) -> str:
        return self.says


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Return a site with a version whose page takes a while."""
    shop = Shop(tmp_path_factory.mktemp("running"))
    write_settings(shop, environment='SLOW = "0.3"', traffic=MIX.format(path="/headers"))
    ended = shop.deploy("v1.0.0")
    assert ended.status == 0, ended.output
    yield shop
    assert shop.tear_down() == []


@pytest.mark.parametrize(
    "impossible",
    [
        Impossible(("--bake", "1"), "makes 60 requests, fewer than [budget] min_requests = 100"),
        Impossible(("--set", 'traffic.mix=[{path="/"},{path="/gone"}]'), "GET /gone answers 404 on blue (v1.0.0)"),
        Impossible(
            ("--set", 'traffic.mix=[{path="/"},{path="/account"}]'), "GET /account answers 401 on blue (v1.0.0)"
        ),
        Impossible(("--set", "budget.p99=0.1"), "GET / takes longer on blue (v1.0.0) now"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused_before_anything_starts(running: Shop, impossible: Impossible) -> None:
    before = running.picture()
    ended = running.deploy("v1.1.0", *impossible.arguments)
    assert ended.status == 4, ended.output
    assert impossible.says in ended.output
    assert running.picture() == before
    assert running.status()["lock"] is None


@pytest.mark.slow
def test_a_rollback_is_made_whatever_the_settings_cannot_hold(running: Shop) -> None:
    second = running.deploy("v1.1.0")
    assert second.status == 0, second.output
    ended = running.roll_back("--set", "budget.p99=0.1", "--bake", "1")
    assert ended.status in (0, 13), ended.output
    assert running.answer("/")[:2] == (200, "blue")


LOGS_IN = """profile = "custom"
[[traffic.mix]]
path = "/"
[[traffic.mix]]
path = "/login"
weight = 2
steps = [{ path = "/account", pause = 0.7 }]
"""


def test_a_release_that_logs_everyone_out_is_rolled_back_and_named(new_site: Callable[..., Shop]) -> None:
    shop = new_site(traffic=LOGS_IN)
    assert shop.deploy("v1.0.0").status == 0
    ended = shop.deploy("v1.1.0")
    assert ended.status == 1, ended.output
    assert "the release logs users out" in shop.verdict()["why"]
    (check,) = [each for each in shop.verdict()["checks"] if each["name"] == "sessions"]
    assert check["standing"] == "failed"
    assert "logs users out" in (shop.latest() / "report.html").read_text()


@pytest.mark.slow
def test_a_release_that_keeps_its_sessions_is_promoted(new_site: Callable[..., Shop]) -> None:
    shop = new_site(traffic=LOGS_IN, environment='SESSIONS = "{store}"')
    shop.settings.write_text(shop.settings.read_text().replace("{store}", str(shop.folder / "sessions")))
    assert shop.deploy("v1.0.0").status == 0
    ended = shop.deploy("v1.1.0")
    assert ended.status == 0, ended.output
    measured = shop.verdict()["evidence"]["measured"]
    assert measured["old_sessions"] > 0
    assert measured["new_sessions"] > 0
    assert measured["old_sessions_failed"] == measured["new_sessions_failed"] == 0
