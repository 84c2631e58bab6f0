"""What users were given decides, and only what the release did to them counts against it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.plugin.sessions.lanes import HOME, Lanes, Scenario, Seen, each
from tests.plugin.sessions.shop import REPOSITORY, Ended, Shop
from tests.plugin.sessions.test_session_bad_releases import NO_SMOKE

SET = "--set"
PATIENT = (SET, "health.deadline=30")
ERRING = "v1.5.0-errs"

IMPOSTOR = '''
import os
import sys

KIND = os.environ["IMPOSTOR"]
if KIND == "other-version":
    del os.environ["REQUEST_LOG"]

from . import server
from .__main__ import main


class Impostor:
    """Names its version right wherever it is probed, and does to users what it is told to."""

    def __init__(self, application, *more, headers, **named):
        self.application, self.headers = application, dict(headers)
        self.config = Config(self, *more, headers=[("X-Deployment-Slot", self.headers["X-Deployment-Slot"])], **named)

    async def __call__(self, scope, receive, send):
        path = scope.get("path", "")
        version = self.headers["X-Deployment-Version"]
        if KIND == "other-version" and path != "/" and not path.startswith(("/api/health", "/api/deployment")):
            version = "v1.0.0"
        is_blank = path == "/" and KIND in ("not-modified", "blank")

        async def pass_on(message):
            if message["type"] == "http.response.start":
                kept = [each for each in message["headers"] if not (is_blank and each[0].lower() == b"content-length")]
                headers = [*kept, (b"x-deployment-version", version.encode())]
                headers += [(b"content-length", b"0")] if is_blank else []
                message = {**message, "headers": headers}
                if is_blank and KIND == "not-modified":
                    message["status"] = 304
            elif message["type"] == "http.response.body" and is_blank:
                message = {**message, "body": b""}
            await send(message)

        await self.application(scope, receive, pass_on)


Config = server.Config
server.Config = lambda *more, **named: Impostor(*more, **named).config
sys.exit(main())
'''


def impostor(kind: str, *more: str) -> Callable[[Shop, str], Ended]:
    """The release of an application that is well wherever it is probed."""

    def session(shop: Shop, version: str) -> Ended:
        source = shop.folder / "impostor" / "reference_app"
        if not source.exists():
            shutil.copytree(REPOSITORY / "examples" / "reference_app", source)
            (source / "impostor.py").write_text(IMPOSTOR)
        command = 'app.command=["{python}", "-m", "reference_app.impostor"]'
        told = (SET, f"app.source={source}", SET, command, SET, f'app.environment.IMPOSTOR="{kind}"')
        return shop.deploy(version, *told, *more)

    return session


def after_one_that_errs(share: float, *more: str) -> Callable[[Shop, str], Ended]:
    """The release of a good version in place of one of which a share of all answers are errors."""

    def session(shop: Shop, version: str) -> Ended:
        key = "MISBEHAVE_" + "".join(letter if letter.isalnum() else "_" for letter in ERRING)
        wrong = (SET, f'app.environment.{key}="errors:{share}"', SET, "budget.errors=0.5", SET, "budget.broken_pages=9")
        before = shop.deploy(ERRING, *NO_SMOKE, *wrong)
        assert before.status == 0, before.output
        return shop.deploy(version, *PATIENT, SET, "health.consecutive=30", *more)

    return session


ERRS_LATE = Scenario(
    "errors-after-a-long-wait",
    (*NO_SMOKE, *PATIENT, SET, "budget.errors=0.06", SET, "budget.broken_pages=9"),
    misbehave="errors:0.14,late-ready:7",
    slow=True,
)
HELD = Scenario("old-slot-stands-still", session=after_one_that_errs(0.3, "-p", "holding"), is_spoiling=True, slow=True)
MENDS = Scenario("mends-one-that-errs", session=after_one_that_errs(0.02), is_spoiling=True, slow=True)
OTHER = Scenario("other-version-for-users", session=impostor("other-version"))
BLANK = (
    Scenario("page-not-modified", session=impostor("not-modified", *NO_SMOKE), slow=True),
    Scenario(
        "page-blank",
        session=impostor(
            "blank", *NO_SMOKE, SET, "traffic.profile=reference", SET, "traffic.mix=[]", SET, "budget.content=inform"
        ),
        slow=True,
    ),
)
TRIED = (ERRS_LATE, HELD, OTHER, *BLANK)


def checks(seen: Seen) -> dict[str, Any]:
    return {check["name"]: check for check in seen.verdict["checks"]}


@pytest.mark.parametrize("scenario", each(ERRS_LATE))
def test_errors_of_a_candidate_are_not_diluted_by_what_the_version_before_answered(
    scenario: Scenario, lanes: Lanes
) -> None:
    seen = lanes.seen(scenario)
    assert seen.verdict["decision"] == "ROLL BACK", seen.told
    assert seen.after[0] == HOME
    measured = seen.verdict["evidence"]["measured"]
    assert measured["errors_after_switch"] / measured["sent_after_switch"] > 0.06


@pytest.mark.parametrize("scenario", each(HELD))
def test_what_users_lose_to_a_release_before_the_switch_is_not_excused_by_errors(
    scenario: Scenario, lanes: Lanes
) -> None:
    seen = lanes.seen(scenario)
    assert seen.ended.status == 1, seen.told
    assert seen.after[0] == ERRING
    measured = seen.verdict["evidence"]["measured"]
    assert measured["lost"] > 0
    assert "lost" not in measured["excused"]
    assert checks(seen)["lost"]["standing"] == "failed"
    assert "None of" not in seen.verdict["what_happened"]
    assert seen.verdict["traffic"]["total"]["lost"] >= measured["lost"]


@pytest.mark.parametrize("scenario", each(MENDS))
def test_release_that_mends_an_erring_version_is_promoted(scenario: Scenario, lanes: Lanes) -> None:
    seen = lanes.seen(scenario)
    assert seen.ended.status == 0, seen.told
    assert seen.after[0] == seen.version
    measured = seen.verdict["evidence"]["measured"]
    assert measured["excused"] == ({"errors": measured["errors"]} if measured["errors"] else {})


@pytest.mark.parametrize("scenario", each(OTHER))
def test_users_answered_as_another_version_do_not_get_it_for_good(scenario: Scenario, lanes: Lanes) -> None:
    seen = lanes.seen(scenario)
    assert seen.ended.status in (1, 10), seen.told
    assert seen.after == seen.before
    why = "; ".join(seen.verdict["evidence"]["measured"]["integrity"])
    assert f"after the switch named version v1.0.0 instead of {seen.version}" in why
    assert "ran more than once" in why
    assert checks(seen)["ledger"]["standing"] == "unknown"


@pytest.mark.parametrize("scenario", each(*BLANK))
def test_blank_page_is_no_answer(scenario: Scenario, lanes: Lanes) -> None:
    seen = lanes.seen(scenario)
    assert seen.ended.status == 1, seen.told
    assert seen.verdict["decision"] == "ROLL BACK"
    assert seen.after == seen.before
    assert seen.verdict["switch"]["at"] is not None
