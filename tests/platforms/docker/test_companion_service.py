"""What a companion takes over of a service of the compose file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.errors import SettingsError, UsageError
from cakravia_verify.platforms.docker.companion_service import NO_CHECK, CompanionServices
from cakravia_verify.platforms.docker.service import Dependency
from cakravia_verify.platforms.docker.slot_service import SlotService
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.settings.models import Settings

PROJECT = """\
name: shop
services:
  db: {image: postgres}
  web:
    build: .
    command: serve
    depends_on: [db]
    healthcheck: {test: curl localhost}
  worker:
    build: .
    command: work hard
    environment: {QUEUE: mail}
    depends_on: {db: {condition: service_healthy}, web: {condition: service_healthy}}
    container_name: the-worker
    stop_grace_period: 40s
    hostname: worker
  other: {image: another}
  open: {build: ., ports: ["1:1"]}
"""
SITE = '[site]\nname = "shop"\nplatform = "docker"\n[docker]\ncompose = "docker-compose.yml"\nservice = "web"\n'


def settings_of(folder: Path, companion: str, *, site: str = SITE) -> Settings:
    (folder / "docker-compose.yml").write_text(PROJECT)
    (folder / "cakravia.toml").write_text(f"{site}[[companions]]\nname = 'c'\n{companion}\n")
    return load_settings(folder / "cakravia.toml", environment={})


def services_of(folder: Path, companion: str) -> tuple[CompanionServices, Settings]:
    settings = settings_of(folder, companion)
    return CompanionServices(settings, SlotService(settings)), settings


def test_a_companion_has_what_its_service_defines(tmp_path: Path) -> None:
    services, settings = services_of(tmp_path, 'service = "worker"')
    found = services.definition(settings.companions[0], "v1")
    assert (found.command, found.environment, found.grace) == (("work", "hard"), {"QUEUE": "mail"}, 40)
    assert found.read_only
    assert any("hostname: not supported" in note for note in services.notes())


def test_parts_of_the_site_do_not_wait_for_each_other(tmp_path: Path) -> None:
    services, settings = services_of(tmp_path, 'service = "worker"')
    assert services.definition(settings.companions[0]).needs == (Dependency("db", "service_healthy"),)
    assert SlotService(settings).definition().needs == (Dependency("db", "service_started"),)


def test_a_companion_with_a_command_is_the_slot_without_its_health_check(tmp_path: Path) -> None:
    services, settings = services_of(tmp_path, 'command = ["tick"]')
    found = services.definition(settings.companions[0])
    assert (found.command, found.entrypoint, found.healthcheck) == ((), (), NO_CHECK)
    assert found.needs == (Dependency("db", "service_started"),)


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        ("other", "another build or image than web"),
        ("open", "ports: "),
        ("nobody", "no service nobody"),
    ],
)
def test_a_service_that_is_not_of_the_same_version_is_refused(tmp_path: Path, service: str, reason: str) -> None:
    services, settings = services_of(tmp_path, f'service = "{service}"')
    with pytest.raises(UsageError, match=reason):
        services.definition(settings.companions[0])


@pytest.mark.parametrize(
    ("companion", "site", "reason"),
    [
        ("", SITE, "needs command"),
        ('command = ["a"]\nservice = "worker"', SITE, "needs command"),
        ('service = "worker"', '[site]\nname = "shop"\n', r"needs \[docker\] compose"),
        ('command = ["a"]\n[[companions]]\nname = "c"\ncommand = ["b"]', SITE, "two companions are named c"),
        ('command = ["a"]\n[[companions]]\nname = "blue"\ncommand = ["b"]', SITE, "another part of the site"),
    ],
)
def test_a_companion_that_cannot_work_is_refused(tmp_path: Path, companion: str, site: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        settings_of(tmp_path, companion, site=site)
