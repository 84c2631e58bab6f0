"""The plan that init makes of its findings: only keys that differ from the defaults, and valid."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cakravia_verify.errors import UsageError
from cakravia_verify.settings.models import Settings
from cakravia_verify.setup.application import application_in
from cakravia_verify.setup.findings import (
    Application,
    ComposeProject,
    ComposeService,
    FoundProject,
    ImageFile,
    ProxyFile,
    Routes,
)
from cakravia_verify.setup.initialise import choose_service
from cakravia_verify.setup.pipeline import PLACES, pipeline_text
from cakravia_verify.setup.plan import Answers, MachineFacts, SetupPlan
from cakravia_verify.setup.planning import plan_site
from cakravia_verify.setup.settings_text import require_valid, settings_text
from tests.setup.test_looking import SAMPLES

NODE = Application("Express", command=("node", "server.js"), build=("sh", "-c", "npm ci"), port=3000)
DJANGO = Application("Django", port=8000, migration=("python3", "manage.py", "migrate"))
IMAGE = ImageFile("Dockerfile", base="node:22-slim", port=3000, folder="/app")
WEB = ComposeService("web", context=".", dockerfile="Dockerfile", ports=(8000,), is_published=True)
DB = ComposeService("db", image="postgres:17", ports=(5432,), is_published=True)
WORKER = ComposeService("worker", context=".", command="celery -A shop worker")
NOTHING, HERE = Answers(), MachineFacts()
NO_ENGINE = MachineFacts(no_engine="no Docker engine answers")


def refuse(names: tuple[str, ...]) -> str:
    raise UsageError(", ".join(names))


def plan(
    found: FoundProject,
    answers: Answers = NOTHING,
    machine: MachineFacts = HERE,
    ask: Callable[[tuple[str, ...]], str] = refuse,
) -> SetupPlan:
    made = plan_site(found, answers, machine, service=choose_service(found, answers, ask=ask))
    require_valid(settings_text(made), root=Path("/srv/shop"))
    return made


def keys(plan: SetupPlan) -> dict[str, Any]:
    return {f"{line.section}.{line.key}": line.value for line in plan.lines}


def composed(*services: ComposeService, **more: Any) -> FoundProject:
    return FoundProject("shop", compose=ComposeProject(("docker-compose.yml",), services), **more)


PROJECTS = {
    "express": FoundProject("notes", application=NODE, routes=Routes(("/", "/notes"), {"health": "/health"})),
    "fastapi": FoundProject("api", application=application_in(SAMPLES / "fastapi")),
    "dockerfile": FoundProject("site", image_file=IMAGE),
    "compose": composed(WEB, DB, WORKER, image_file=IMAGE, application=DJANGO),
    "behind nginx": composed(
        replace(WEB, ports=(), is_published=False),
        ComposeService("front", image="nginx:stable", ports=(80,), is_published=True),
        proxy_file=ProxyFile("nginx.conf", "shop.example.com", (("web", 8000),), "20m", 90.0, "/etc/a.pem"),
    ),
    "env": FoundProject("env", application=NODE, env_file=".env"),
}


@pytest.mark.parametrize("name", PROJECTS)
def test_every_key_of_a_plan_differs_from_its_default_and_says_why(name: str) -> None:
    defaults = Settings().model_dump(mode="json")
    made = plan(PROJECTS[name])
    for line in made.lines:
        assert defaults[line.section][line.key] != line.value, line
        assert line.comment
    text = settings_text(made)
    assert all("  # " in row for row in text.splitlines() if " = " in row and "[[" not in text.partition(row)[0])
    assert tomllib.loads(text)


def test_project_without_docker_runs_as_processes() -> None:
    made = keys(plan(PROJECTS["express"]))
    assert made["app.command"] == ["node", "server.js"]
    assert (made["contract.health"], made["contract.ready"]) == ("/health", "")
    assert "site.platform" not in made


def test_service_with_published_ports_is_released_by_a_file_of_ours() -> None:
    made = plan(composed(replace(WEB, to_remove=("ports", "container_name"), needs=("db",)), DB, image_file=IMAGE))
    assert keys(made)["docker.compose"] == ["docker-compose.yml", "docker-compose.cakravia.yml"]
    assert "ports: !reset null" in made.compose_file
    assert made.steps == ("docker compose up -d db", "cakravia deploy v1.0.0")


def test_database_and_worker_are_not_what_users_reach() -> None:
    assert keys(plan(PROJECTS["compose"]))["docker.service"] == "web"


def test_proxy_of_the_project_is_not_what_users_reach() -> None:
    proxy = replace(WEB, name="proxy", ports=(80,))
    cache = ComposeService("store", image="redislabs/redismod", ports=(6379,), is_published=True)
    assert keys(plan(composed(proxy, cache, replace(WEB, is_published=False))))["docker.service"] == "web"


def test_service_behind_the_projects_nginx_is_what_users_reach() -> None:
    made = keys(plan(PROJECTS["behind nginx"]))
    assert (made["docker.service"], made["docker.port"]) == ("web", 8000)
    assert (made["site.host"], made["site.scheme"]) == ("shop.example.com", "https")
    assert (made["proxy.max_body"], made["proxy.read_timeout"]) == ("20m", 90.0)


def test_compose_file_with_only_a_database_leaves_the_application_to_processes() -> None:
    made = keys(plan(composed(DB, application=NODE)))
    assert made["app.command"] == ["node", "server.js"]


def test_image_of_root_gets_a_user_of_its_own() -> None:
    assert keys(plan(PROJECTS["dockerfile"]))["docker.user"] == "1000:1000"
    other = FoundProject("x", image_file=ImageFile("Dockerfile", base="python:3.13", port=80))
    assert keys(plan(other))["docker.user"] == "10001:10001"
    own = FoundProject("x", image_file=ImageFile("Dockerfile", base="python:3.13", port=80, user="app"))
    assert "docker.user" not in keys(plan(own))


def test_open_pages_of_a_framework_with_hashed_files_get_them() -> None:
    next_js = Application("Next.js", port=3000, assets=("/_next/static/",))
    assert keys(plan(FoundProject("x", application=next_js, image_file=IMAGE)))["proxy.assets"] == ["/_next/static/"]


def test_folder_that_next_writes_to_is_writable() -> None:
    next_js = Application("Next.js", port=3000, writable=(".next/cache",))
    made = keys(plan(FoundProject("x", application=next_js, image_file=IMAGE)))
    assert made["docker.writable"] == ["/app/.next/cache"]


def test_database_of_a_framework_is_migrated_by_a_hook_unless_the_container_does_it() -> None:
    made = plan(composed(WEB, image_file=IMAGE, application=DJANGO))
    assert made.tables[0].values["kind"] == "migration"
    for found in (
        composed(replace(WEB, command="sh -c 'manage.py migrate && gunicorn'"), application=DJANGO),
        composed(WEB, image_file=replace(IMAGE, migrates=True), application=DJANGO),
    ):
        assert not plan(found).tables


def test_worker_of_the_same_version_moves_with_a_release() -> None:
    worker = replace(WORKER, to_remove=("container_name",))
    made = plan(composed(WEB, DB, worker, image_file=IMAGE))
    assert made.tables[0].values == {"name": "worker", "service": "worker"}
    assert "  worker:\n    container_name: !reset null\n" in made.compose_file
    processes = plan(FoundProject("x", application=replace(NODE, workers={"worker": ("node", "work.js")})))
    assert processes.tables[0].values == {"name": "worker", "command": ["node", "work.js"]}


def test_worker_with_a_name_that_a_companion_cannot_have_is_told() -> None:
    made = plan(FoundProject("x", application=replace(NODE, workers={"proxy": ("node", "x.js")})))
    assert not made.tables
    assert any("proxy is not moved" in note for note in made.notes)


def test_tag_of_an_image_becomes_the_version_of_the_release() -> None:
    service = ComposeService("web", image="shop:latest", ports=(80,), is_published=True, variable="TAG")
    assert keys(plan(composed(service)))["docker.compose_variables"] == {"TAG": "{version}"}


def test_application_without_health_endpoint_is_asked_for_its_front_page() -> None:
    made = keys(plan(PROJECTS["dockerfile"]))
    assert made["contract.health"] == "/"
    assert "traffic.profile" not in made


def test_health_check_of_the_image_names_the_endpoint() -> None:
    found = FoundProject("x", image_file=replace(IMAGE, health="/up"))
    assert keys(plan(found))["contract.health"] == "/up"


def test_reference_endpoints_need_no_key() -> None:
    all_four = {
        "health": "/api/health",
        "ready": "/api/health/ready",
        "live": "/api/health/live",
        "status": "/api/deployment/status",
    }
    made = keys(plan(FoundProject("x", application=NODE, routes=Routes((), all_four, knows_slots=True))))
    assert not [key for key in made if key.startswith("contract.")]


def test_api_without_front_page_is_asked_for_what_it_has() -> None:
    api = Application("FastAPI", command=("uvicorn",))
    made = plan(FoundProject("x", application=api, routes=Routes(("/items",), {"health": "/healthz"})))
    assert keys(made)["release.smoke"] == [{"path": "/items"}]
    assert [table.values["path"] for table in made.tables] == ["/items"]
    alone = plan(FoundProject("x", application=api, routes=Routes((), {"health": "/healthz"})))
    assert [table.values["path"] for table in alone.tables] == ["/healthz"]


def test_unsafe_methods_are_never_guessed() -> None:
    for found in PROJECTS.values():
        assert all(table.values.get("method", "GET") == "GET" for table in plan(found).tables)


def test_taken_ports_are_avoided() -> None:
    busy = MachineFacts(is_free=lambda port: port not in (8080, 8081, 3000))
    made = keys(plan(PROJECTS["express"], machine=busy))
    assert made["proxy.listen"] == "127.0.0.1:8082"
    assert (made["slots.blue"], made["slots.green"]) == (3100, 3101)


def test_setting_of_the_command_line_replaces_a_planned_one() -> None:
    made = plan(PROJECTS["express"], Answers(settings=(("site.name", "other"), ("release.bake", 3))))
    assert (keys(made)["site.name"], keys(made)["release.bake"]) == ("other", 3)


@pytest.mark.parametrize(
    ("found", "answers", "machine", "words"),
    [
        (FoundProject("x"), NOTHING, HERE, "no file says how an application is started"),
        (FoundProject("x", application=DJANGO), NOTHING, HERE, "how the Django application is started"),
        (PROJECTS["dockerfile"], NOTHING, NO_ENGINE, "runs in a container, and no Docker engine answers"),
        (composed(replace(WEB, ports=())), NOTHING, HERE, "on which port service web listens"),
        (composed(DB), NOTHING, HERE, "no service of docker-compose.yml is surely what users reach; it has: db"),
        (composed(WEB), Answers(service="wbe"), HERE, "no service wbe; it has: web"),
        (composed(replace(WEB, unfit=("pid: no",))), NOTHING, HERE, "pid: no"),
        (composed(WEB, replace(WEB, name="api")), NOTHING, HERE, "web, api"),
        (PROJECTS["express"], Answers(listen="here"), HERE, r"proxy\.listen"),
        (PROJECTS["express"], Answers(name="Not a name"), HERE, r"site\.name"),
        (PROJECTS["express"], Answers(image="shop"), HERE, "on which port the image shop listens"),
        (PROJECTS["dockerfile"], Answers(platform="process"), HERE, "how the application is started"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_missing_is_said_in_a_sentence_with_a_remedy(
    found: FoundProject, answers: Answers, machine: MachineFacts, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        plan(found, answers, machine)
    assert refused.value.remedy or "," in str(refused.value)


@pytest.mark.parametrize("kind", PLACES)
def test_pipeline_is_yaml_and_gates_on_what_it_built(kind: str) -> None:
    text = pipeline_text(kind)
    assert "release" in (document := yaml.safe_load(text)).get("jobs", document)
    for words in ('cakravia build "$VERSION"', '--digest "$DIGEST"', "StrictHostKeyChecking yes", "cakravia recover"):
        assert words in text
