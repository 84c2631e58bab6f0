"""Budgets and required checks from a reviewed file: what holds, and what loosens it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.errors import SettingsError
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.settings.models import Settings
from cakravia_verify.settings.policy import policy_lines

POLICIES = """
[production]
required = ["test_shop_is_open"]
[production.budget]
p99 = 1.0
min_requests = 1000
content = "require"
[nightly.budget]
min_requests = 10000
"""


def settings_of(
    tmp_path: Path, text: str = "", *, policies: str = POLICIES, overrides: tuple[tuple[str, Any], ...] = ()
) -> Settings:
    (tmp_path / "policies.toml").write_text(policies)
    file = tmp_path / "cakravia.toml"
    file.write_text(f'[policy]\nfile = "policies.toml"\n{text}')
    return load_settings(file, environment={}, overrides=overrides)


def looser(settings: Settings) -> list[str]:
    return [line.rpartition("[budget] ")[2] for line in policy_lines(settings.reviewed, settings.budget)][1:]


def test_the_budget_is_that_of_the_policy_where_the_settings_leave_it_open(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert (settings.budget.p99, settings.budget.min_requests, settings.budget.lost) == (1.0, 1000, 0)
    assert looser(settings) == []


def test_a_profile_is_chosen_on_the_command_line(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, overrides=(("policy.profile", "nightly"),))
    assert settings.reviewed is not None
    assert (settings.reviewed.name, settings.budget.min_requests, settings.budget.p99) == ("nightly", 10000, 2.5)


def test_the_report_names_the_policy_by_the_digest_of_its_file(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    digest = hashlib.sha256(POLICIES.encode()).hexdigest()
    first = next(policy_lines(settings.reviewed, settings.budget))
    assert first == f"held to the policy production of policies.toml (sha256:{digest[:12]})"


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("lost", "1", "lost = 1, the policy says 0"),
        ("errors", "0.01", "errors = 0.01, the policy says 0.0"),
        ("p99", "3", "p99 = 3.0, the policy says 1.0"),
        ("min_requests", "999", "min_requests = 999, the policy says 1000"),
        ("min_each", "0", "min_each = 0, the policy says 5"),
        ("content", '"inform"', "content = inform, the policy says require"),
    ],
)
def test_a_limit_that_permits_more_than_the_policy_is_told(tmp_path: Path, key: str, value: str, line: str) -> None:
    assert looser(settings_of(tmp_path, f"[budget]\n{key} = {value}\n")) == [line]
    assert looser(settings_of(tmp_path, overrides=((f"budget.{key}", value),))) == [line]


@pytest.mark.parametrize(("key", "value"), [("p99", "0.5"), ("min_requests", "2000"), ("judge", '"require"')])
def test_a_limit_that_permits_less_is_not_told(tmp_path: Path, key: str, value: str) -> None:
    assert looser(settings_of(tmp_path, f"[budget]\n{key} = {value}\n")) == []


@pytest.mark.parametrize(
    ("policies", "words"),
    [
        ("[staging.budget]\nlost = 0\n", "policies.toml has no profile 'production'; it has: staging"),
        ("", "it has: none"),
        ("[production.budget]\nlots = 1\n", "policies.toml: production.budget.lots"),
        ("[production.budget]\np99 = 'slow'\n", "policies.toml: production.budget.p99"),
        ("[production]\nrequired = ['shop']\n", "policies.toml: production.required.0"),
        ("production = 1\n", "policies.toml: production"),
        ("[production", "policies.toml is not valid TOML"),
    ],
)
def test_a_wrong_policy_is_refused_with_its_place(tmp_path: Path, policies: str, words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_of(tmp_path, policies=policies)
    assert words in str(refused.value)


def test_a_missing_policy_is_refused_and_never_passed_over(tmp_path: Path) -> None:
    settings_of(tmp_path)
    (tmp_path / "policies.toml").unlink()
    with pytest.raises(SettingsError, match=r"policies.toml cannot be read: No such file"):
        load_settings(tmp_path / "cakravia.toml", environment={})


def test_no_file_of_settings_sets_the_policy_itself(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown key 'reviewed'"):
        settings_of(tmp_path, '[reviewed]\nname = "mine"\n')
