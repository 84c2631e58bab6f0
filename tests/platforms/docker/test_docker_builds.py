"""Builds by the engine's BuildKit: what Dockerfiles use today, secrets, and what is left behind."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cakravia_verify.errors import DeadlineExceeded, PlatformError, UsageError
from cakravia_verify.platforms.docker.building.engine_api import build_by_engine
from cakravia_verify.platforms.docker.building.image_build import BuildOutput, ImageBuild
from cakravia_verify.platforms.docker.building.programs import BuildWay, program
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.system.clock import Deadline
from tests.platforms.docker.docker_stage import DockerSite, base_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

    from tests.platforms.docker.conftest import MakeSite

TAG = "cakravia-verify/test-of-builds:one"
CACHED = """\
ARG BASE
FROM ${BASE} AS one
COPY . /context
RUN --mount=type=cache,target=/cache ls /context && echo made > /made && echo the-cache-is-there
FROM ${BASE}
COPY --from=one /made /made
"""
SECRET = """\
ARG BASE
FROM ${BASE}
RUN --mount=type=secret,id=token grep -qx "hush h[u]sh" /run/secrets/token && echo known > /known
"""


@pytest.fixture(autouse=True)
def tag_goes(client: DockerClient) -> Iterator[None]:
    yield
    if client.images.list(TAG.partition(":")[0]):
        client.images.remove(TAG, force=True)


# The ways that this machine has. Compose builds only if there is no buildx.
WAYS = [way for way in (program(), build_by_engine) if way is not None]


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: way.__name__)
def way(request: pytest.FixtureRequest, client: DockerClient) -> BuildWay:
    """Return one of the ways in which this machine builds."""
    found: BuildWay = request.param
    return found


def built(way: BuildWay, folder: Path, dockerfile: str, **options: object) -> tuple[str, list[str]]:
    """Build, and return the whole output and the lines for the terminal."""
    # Output that is tested must not come from the cache of an earlier test.
    (folder / "Dockerfile").write_text(f"{dockerfile}# {uuid.uuid4()}\n")
    build = ImageBuild(folder, TAG, arguments={"BASE": base_of("python"), "COST": "$5"}, **options)  # type: ignore[arg-type]
    told: list[str] = []
    with (folder / "log").open("wb") as log:
        way(Engine(), build, BuildOutput(log, told=told.append), Deadline("the build ends", 120))
    return (folder / "log").read_text(), told


def test_a_cache_mount_and_a_second_stage_are_built(way: BuildWay, tmp_path: Path, client: DockerClient) -> None:
    output, told = built(way, tmp_path, CACHED)
    assert "the-cache-is-there" in output
    assert any("RUN --mount=type=cache" in line for line in told)
    assert client.containers.run(TAG, ["cat", "/made"], entrypoint=[], remove=True) == b"made\n"


def test_files_that_dockerignore_names_are_not_in_the_context(way: BuildWay, tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("# a comment\nlog\n*.key\n!public.key\nnode_modules/**\n")
    for name in ("private.key", "public.key", "node_modules/deep/file"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    output, _ = built(way, tmp_path, CACHED.replace("ls /context", "find /context -type f"))
    assert "/context/public.key" in output
    assert "private.key" not in output
    assert "deep/file" not in output


def test_a_failed_build_shows_what_its_command_wrote(way: BuildWay, tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="the compiler says no") as raised:
        built(way, tmp_path, "ARG BASE\nFROM ${BASE}\nRUN echo the compiler says no && false\n")
    assert raised.value.remedy == "correct the build"


def test_a_dockerfile_newer_than_the_engine_is_an_error_with_a_remedy(way: BuildWay, tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"[Uu]nknown flag") as raised:
        built(way, tmp_path, "ARG BASE\nFROM ${BASE}\nCOPY --of-the-future Dockerfile /\n")
    assert "# syntax=docker/dockerfile:1" in raised.value.remedy
    assert "[docker] image or archive" in raised.value.remedy


def test_a_build_ends_at_its_deadline(way: BuildWay, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {base_of('python')}\nRUN sleep 600\n")
    with (tmp_path / "log").open("wb") as log:
        output = BuildOutput(log, told=lambda _: None)
        with pytest.raises(DeadlineExceeded, match="was stopped"):
            way(Engine(), ImageBuild(tmp_path, TAG), output, Deadline("the build ends", 3))


def test_a_named_stage_is_built_and_none_after_it(way: BuildWay, tmp_path: Path, client: DockerClient) -> None:
    stages = "ARG BASE\nFROM ${BASE} AS one\nRUN echo made > /made\nFROM one AS two\nRUN false\n"
    built(way, tmp_path, stages, target="one")
    assert client.containers.run(TAG, ["cat", "/made"], entrypoint=[], remove=True) == b"made\n"


# As a site builds.


@pytest.fixture
def shop(make_site: MakeSite) -> DockerSite:
    return make_site()


def test_a_build_secret_is_in_no_layer_and_in_no_command_line(
    shop: DockerSite, client: DockerClient, tmp_path: Path
) -> None:
    if program() is None:
        pytest.skip("there is no docker program with BuildKit here")
    secret = tmp_path / "token"
    secret.write_text("hush hush")
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(SECRET)
    site = shop.open(("docker.context", str(folder)), ("docker.build_secrets.token", str(secret)))
    artifact = site.platform.build("v1.0.0", deadline=Deadline("the build ends", 120))
    saved = b"".join(client.images.get(artifact.digest).save())
    history = json.dumps(client.images.get(artifact.digest).history())
    assert b"known" in saved
    assert b"hush hush" not in saved
    assert "hush hush" not in history
    assert site.platform.build_log is not None
    assert "hush hush" not in site.platform.build_log.read_text()


def test_a_build_secret_can_be_a_variable_and_a_missing_one_is_named(
    shop: DockerSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if program() is None:
        pytest.skip("there is no docker program with BuildKit here")
    (tmp_path / "Dockerfile").write_text(f"{SECRET}# {uuid.uuid4()}\n")
    site = shop.open(("docker.context", str(tmp_path)), ("docker.build_secrets.token", "env:TOKEN_OF_A_TEST"))
    with pytest.raises(UsageError, match="token: the environment variable TOKEN_OF_A_TEST is not set"):
        site.platform.prefetch("v1.0.0", deadline=Deadline("the build ends", 60))
    monkeypatch.setenv("TOKEN_OF_A_TEST", "hush hush")
    again = shop.open(("docker.context", str(tmp_path)), ("docker.build_secrets.token", "env:TOKEN_OF_A_TEST"))
    assert again.platform.build("v1.0.0", deadline=Deadline("the build ends", 120)).digest


def test_a_missing_build_secret_is_named_before_any_change(shop: DockerSite) -> None:
    site = shop.open(("docker.build_secrets.token", "/nowhere/token"))
    with pytest.raises(UsageError, match="build_secrets: token: there is no file /nowhere/token"):
        site.platform.prefetch("v1.0.0", deadline=Deadline("the build ends", 60))


def test_a_build_secret_without_the_docker_program_is_refused(
    shop: DockerSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cakravia_verify.platforms.docker.building import programs

    (tmp_path / "token").touch()
    monkeypatch.setenv("PATH", os.devnull)
    programs.answers.cache_clear()
    site = shop.open(("docker.build_secrets.token", str(tmp_path / "token")))
    try:
        with pytest.raises(PlatformError, match="need the docker program") as raised:
            site.platform.build("v1.0.0", deadline=Deadline("the build ends", 60))
    finally:
        programs.answers.cache_clear()
    assert "[docker] image or archive" in raised.value.remedy


def test_builds_leave_no_image_without_a_name(shop: DockerSite, client: DockerClient, tmp_path: Path) -> None:
    def nameless() -> set[str]:
        return {str(image.id) for image in client.images.list(filters={"dangling": True})}

    platform = shop.open(("docker.context", str(tmp_path))).platform
    before = nameless()
    for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
        (tmp_path / "Dockerfile").write_text(f"{CACHED}RUN echo {version} > /version\n")
        platform.build(version, deadline=Deadline("the build ends", 120))
        platform.prune(keep=(), retain=1)
    assert [artifact.version for artifact in platform.retained()] == ["v1.2.0"]
    names = [tag for image in client.images.list() for tag in image.tags]
    assert len([name for name in names if name.startswith(f"cakravia-verify/{shop.name}")]) == 1
    assert nameless() <= before
