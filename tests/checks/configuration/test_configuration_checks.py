"""Mistakes of the configuration, each found by its check and mended by its remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.checks.configuration.registry import CONFIGURATION
from cakravia_verify.checks.configuration.slots_alike import different
from cakravia_verify.checks.model import CheckFinding, Grade, carry_out
from cakravia_verify.proxy.protocol import ConfigurationState
from cakravia_verify.slots import Colour
from cakravia_verify.testing.memory import running_slot
from tests.checks.world import World

SOUND = ConfigurationState("a\nb", "a\nb", "a\nb")


def bad_findings(world: World, name: str) -> tuple[CheckFinding, ...]:
    (check,) = (each for each in CONFIGURATION if each.name == name)
    return carry_out(check, world.ground()).bad


def remarks(world: World, name: str) -> list[CheckFinding]:
    """Return everything that is not fine, warnings as well."""
    (check,) = (each for each in CONFIGURATION if each.name == name)
    return [finding for finding in carry_out(check, world.ground()).findings if finding.grade is not Grade.OK]


@dataclass(frozen=True)
class ConfigurationMistake:
    """The state of the configuration, the check that finds it, and what it says."""

    state: ConfigurationState
    check: str
    words: str


@pytest.mark.parametrize(
    "mistake",
    [
        ConfigurationMistake(ConfigurationState("a", "a", "a", "unknown directive"), "in place", "unknown directive"),
        ConfigurationMistake(ConfigurationState("a\nb", "a\nhand", "a\nb"), "loaded", "-b; +hand"),
        ConfigurationMistake(ConfigurationState("a", "a", ""), "loaded", "a reload was interrupted"),
        ConfigurationMistake(ConfigurationState("a\nnew", "a\nold", "a\nold"), "drift", "-old; +new"),
    ],
    ids=["refused", "edited by hand", "interrupted reload", "changed settings"],
)
def test_a_wrong_configuration_is_found_with_a_remedy(mistake: ConfigurationMistake, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.memory.configuration = SOUND
    assert not bad_findings(world, mistake.check)
    world.memory.configuration = mistake.state
    (finding,) = bad_findings(world, mistake.check)
    assert mistake.words in finding.found
    assert finding.remedy


def test_settings_that_nginx_refuses_are_found(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.memory.configuration = SOUND
    assert not bad_findings(world, "rendered")
    world.memory.refused_settings = "nginx refuses the configuration: host not found"
    (finding,) = bad_findings(world, "rendered")
    assert ("host not found" in finding.found, finding.remedy) == (True, "correct it")


def test_a_configuration_that_would_lose_requests_is_found(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert not remarks(world, "rules")
    health = "server {{ location = /health {{ {} }} location / {{ return 404; }} }}"
    kept = "proxy_set_header Host $host; proxy_http_version 1.1; proxy_buffer_size 8k; proxy_pass http://127.0.0.1:1;"
    world.memory.configuration = ConfigurationState(wanted=health.format(kept))
    assert not remarks(world, "rules")
    world.memory.configuration = ConfigurationState(wanted=health.format("return 200;") + f"location / {{ {kept} }}")
    (finding,) = bad_findings(world, "rules")
    assert "health-by-proxy" in finding.found
    assert "docs/LINT.md#health-by-proxy" in finding.remedy


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.tables.update(health={"consecutive": 400, "interval": 1.0, "deadline": 60.0}), "[health]"),
        (lambda w: w.tables.update(budget={"p99": 20.0}), "[budget] p99"),
        (lambda w: w.set("proxy", connect_timeout=20.0), "connect_timeout"),
        (lambda w: w.set("app", grace=0.1), "[app] grace"),
    ],
)
def test_settings_that_contradict_each_other_are_found(
    change: Callable[[World], object], words: str, tmp_path: Path
) -> None:
    world = World(tmp_path)
    assert not remarks(world, "settings")
    change(world)
    (finding,) = remarks(world, "settings")
    assert words in finding.found
    assert finding.remedy


def container(env: dict[str, str], **host: Any) -> dict[str, Any]:
    return {
        "Config": {"Env": [f"{name}={value}" for name, value in env.items()], "User": "10001"},
        "HostConfig": {"Memory": 2**29} | host,
        "NetworkSettings": {"Networks": {"shop": {}}},
    }


def test_containers_may_differ_in_name_version_and_address_only(tmp_path: Path) -> None:
    world = World(tmp_path, platform="docker")
    for colour in Colour:
        world.memory.running[colour] = running_slot(colour, f"v-{colour}")
        environment = {"APP_VERSION": f"v-{colour}", "DEPLOYMENT_SLOT": str(colour), "LOG_LEVEL": "info"}
        world.engine.containers[f"shop-app-{colour}"] = container(environment)
    assert not bad_findings(world, "slots")
    world.engine.containers["shop-app-green"] = container({"LOG_LEVEL": "debug"}, Memory=2**28)
    (finding,) = bad_findings(world, "slots")
    assert "HostConfig.Memory, LOG_LEVEL" in finding.found
    assert "debug" not in finding.found


def test_no_value_of_a_difference_is_told() -> None:
    assert different({"A": "1", "PORT": "1"}, {"A": "2", "PORT": "2", "TOKEN": "hunter2"}) == ["A", "TOKEN"]


def test_a_changed_compose_file_is_found(tmp_path: Path) -> None:
    world = World(tmp_path, platform="docker")
    assert not bad_findings(world, "compose file")
    (tmp_path / "docker-compose.blue-green.yml").write_text("name: shop\n")
    (finding,) = bad_findings(world, "compose file")
    assert "was changed" in finding.found
