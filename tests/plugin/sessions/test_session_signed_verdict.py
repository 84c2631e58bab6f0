"""Two sites: what staging promotes and signs is what production releases, once, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.sessions.shop import Ended, Shop

VERSION = "v1.0.0"


@pytest.fixture(scope="module")
def staging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A site with a key, which has promoted the version."""
    shop = Shop(tmp_path_factory.mktemp("staging"))
    shop.settings.write_text(shop.settings.read_text().replace('name = "shop"', 'name = "staging"'))
    made = shop.cakravia("keys", "init")
    assert made.status == 0, made.output
    ended = shop.deploy(VERSION)
    assert ended.status == 0, ended.output
    yield shop
    assert shop.tear_down() == []


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("production"))
    yield shop
    assert shop.tear_down() == []


def permitted(staging: Shop) -> tuple[str, ...]:
    verdict = staging.reports / "latest" / "verdict.intoto.json"
    return ("--require-verdict", str(verdict), "--trust", str(staging.folder / "staging.pub.json"))


@pytest.fixture(scope="module")
def released(staging: Shop, production: Shop) -> Ended:
    return production.deploy(VERSION, *permitted(staging))


def test_the_gate_verifies_what_a_real_release_signed(staging: Shop) -> None:
    active = staging.observe().active
    assert active is not None
    words = ("--version", VERSION, "--digest", active.digest, "--trust", str(staging.folder / "staging.pub.json"))
    passed = staging.cakravia("gate", str(staging.reports / "latest"), *words)
    assert passed.status == 0, passed.output


def test_production_releases_what_staging_promoted(released: Ended, production: Shop) -> None:
    assert released.status == 0, released.output
    assert production.serving() == VERSION
    assert any("of the site staging, signed with staging.pub.json" in str(entry) for entry in production.history())


@pytest.mark.parametrize(
    ("version", "reason"),
    [(VERSION, "this verdict was used"), ("v1.0.1", "it is for version 'v1.0.0', not 'v1.0.1'")],
    ids=["replayed", "for-another-version"],
)
def test_a_verdict_that_permits_nothing_ends_before_anything_is_touched(
    staging: Shop, production: Shop, released: Ended, version: str, reason: str
) -> None:
    before = production.picture()
    refused = production.deploy(version, "--redeploy", *permitted(staging))
    assert refused.status == 4, refused.output
    assert reason in refused.output
    assert not refused.has_traceback
    assert production.picture() == before


@pytest.mark.slow
def test_another_build_of_the_version_never_reaches_users(staging: Shop, tmp_path: Path) -> None:
    shop = Shop(tmp_path / "other")
    try:
        source = tmp_path / "source"
        source.mkdir()
        (source / "another").write_text("build")
        refused = shop.deploy(VERSION, *permitted(staging), "--set", f"app.source={source}")
        assert refused.status == 1, refused.output
        assert "may be released" in refused.output
        assert shop.serving() == ""
    finally:
        assert shop.tear_down() == []


def test_a_key_that_others_can_read_stops_a_release_before_it_begins(staging: Shop) -> None:
    key = staging.state / "signing.key"
    before = staging.picture()
    key.chmod(0o644)
    try:
        refused = staging.deploy("v1.0.1")
    finally:
        key.chmod(0o600)
    assert refused.status == 4, refused.output
    assert "others can read the signing key" in refused.output
    assert staging.picture() == before
