"""Versions that come from a registry: by tag and by digest, asked for before the lock, and away."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from docker.errors import ImageNotFound

from cakravia_verify.errors import PlatformError
from cakravia_verify.gate.model import Exit
from cakravia_verify.history.releases import records
from cakravia_verify.slots import Artifact, Colour
from cakravia_verify.system.clock import Deadline, poll
from tests.platforms.docker.docker_stage import DockerSite, base_of
from tests.platforms.docker.test_docker_any_application import ONLY_HEALTH
from tests.ports import free_ports

if TYPE_CHECKING:
    from docker import DockerClient

    from tests.platforms.docker.conftest import MakeSite

CONFIG = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
# nginx and the files it needs, nothing else: an image that is pushed and pulled within a blink.
DOCKERFILE = """\
ARG BASE
FROM ${BASE} AS whole
RUN mkdir -p -m 1777 /small /small/tmp && cp --parents -L /usr/sbin/nginx /etc/passwd /etc/group \\
    $(ldd /usr/sbin/nginx | grep -o '/[^ ]*') /small
FROM scratch
COPY --from=whole /small /
COPY nginx.conf /nginx.conf
USER 10001:10001
STOPSIGNAL SIGQUIT
CMD ["/usr/sbin/nginx", "-e", "stderr", "-c", "/nginx.conf", "-g", "daemon off;"]
"""
NGINX = """\
pid /tmp/nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u;
    scgi_temp_path /tmp/s;
    server {
        listen 3000;
        location = /health { return 200 "ok"; }
        location / { return 200 "NAME"; }
    }
}
"""


class Registry:
    """A registry on a port of this machine, with a repository `shop`."""

    def __init__(self, folder: Path, client: DockerClient) -> None:
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        self.repository = f"{self.address}/shop"
        self._folder = folder
        self._client = client
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "config.yml").write_text(CONFIG.format(folder=folder, port=port))

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["docker-registry", "serve", str(self._folder / "config.yml")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def answers() -> bool:
            try:
                return httpx.get(f"http://{self.address}/v2/", trust_env=False).status_code == 200
            except httpx.HTTPError:
                return False

        poll(answers, deadline=Deadline("the registry answers", 10))

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    @contextmanager
    def away(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()

    def push(self, name: str, *, tag: str) -> tuple[str, str]:
        """The image called `name` has the tag in the registry; its id, and its digest there.

        The engine has the tag only if it had it before, and then for the same image as before.
        """
        context = self._folder / name
        context.mkdir(exist_ok=True)
        (context / "Dockerfile").write_text(DOCKERFILE)
        (context / "nginx.conf").write_text(NGINX.replace("NAME", name))
        reference = f"{self.repository}:{tag}"
        before = self._client.images.get(reference) if is_in_the_engine(self._client, reference) else None
        image, _ = self._client.images.build(
            path=str(context), buildargs={"BASE": base_of("nginx")}, tag=reference, rm=True, forcerm=True
        )
        said = self._client.images.push(self.repository, tag=tag)
        assert '"error"' not in said, said
        image.reload()
        (digest,) = (each for each in image.attrs["RepoDigests"] if each.startswith(f"{self.repository}@"))
        self._client.images.remove(reference)
        if before is not None:
            before.tag(self.repository, tag=tag)
        return str(image.id), str(digest).rpartition("@")[2]


@pytest.fixture(scope="module")
def registry(client: DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    if not shutil.which("docker-registry"):
        pytest.skip("there is no docker-registry here; .ci/provide-engine brings it")
    registry = Registry(tmp_path_factory.mktemp("registry"), client)
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()
        for image in client.images.list():
            for name in (*image.attrs["RepoTags"], *image.attrs["RepoDigests"]):
                if name.startswith(registry.address):
                    with suppress(ImageNotFound):  # the last tag takes the digest with it
                        client.images.remove(name)


@pytest.fixture(scope="module")
def first(registry: Registry) -> str:
    """The id of the image that is v1.0.0."""
    return registry.push("first", tag="v1.0.0")[0]


def from_registry(site: DockerSite, registry: Registry, *, pull: str = "missing") -> DockerSite:
    text = site.settings.read_text()
    context = next(line for line in text.splitlines() if line.startswith("context ="))
    site.settings.write_text(
        text.replace(context, f'image = "{registry.repository}:{{version}}"\npull = "{pull}"').replace(
            "build_args = {", "#build_args = {", 1
        )
    )
    return site


@pytest.fixture(scope="module")
def shop(make_site: MakeSite, registry: Registry, first: str) -> DockerSite:
    """v1.0.0, pulled by its tag, serves users."""
    site = from_registry(make_site(profile="generic", more=ONLY_HEALTH), registry, pull="always")
    ended = site.deploy("v1.0.0")
    assert ended.status == 0, ended.output
    return site


def built(site: DockerSite, registry: Registry, version: str, *, image: str = "", pull: str = "missing") -> Artifact:
    opened = site.open(("docker.image", image or f"{registry.repository}:{{version}}"), ("docker.pull", pull))
    return opened.platform.build(version, deadline=Deadline("the version is here", 60))


def is_in_the_engine(client: DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def test_a_pulled_tag_is_its_digest_in_history_verdict_and_container(
    shop: DockerSite, first: str, client: DockerClient
) -> None:
    site = shop.open()
    [record] = records(site.journal.entries())
    running = site.platform.observe(Colour.BLUE)
    assert running is not None
    assert {record.digest, shop.verdict()["digest"], running.digest} == {first}
    assert client.containers.get(f"{shop.name}-app-blue").attrs["Image"] == first
    assert httpx.get(shop.url, trust_env=False).text == "first"


def test_an_image_is_pulled_before_the_lock_is_held(shop: DockerSite, registry: Registry, client: DockerClient) -> None:
    registry.push("early", tag="v1.5.0")
    site = shop.open()
    site.lock.acquire("a test")
    try:
        ended = shop.deploy("v1.5.0")
    finally:
        site.lock.release()
    assert ended.status == Exit.LOCK_HELD, ended.output
    assert is_in_the_engine(client, f"{registry.repository}:v1.5.0")


def test_a_registry_that_is_away_fails_the_release_without_a_change(shop: DockerSite, registry: Registry) -> None:
    before = shop.open().observe()
    with registry.away():
        ended = shop.deploy("v1.6.0")
    assert ended.status == Exit.ROLLED_BACK, ended.output
    assert f"pulling {registry.repository}:v1.6.0" in ended.output
    assert "check the network to the registry" in ended.output
    assert records(shop.open().journal.entries())[-1].begun == ("build",)
    assert shop.verdict()["evidence"]["measured"]["lost"] == 0
    assert shop.open().observe() == before


def test_a_tag_that_the_registry_does_not_know_is_named(shop: DockerSite, registry: Registry) -> None:
    with pytest.raises(PlatformError, match=r"shop:v0\.0\.1") as raised:
        built(shop, registry, "v0.0.1")
    assert "the registry does not have it" in raised.value.remedy


def test_a_registry_is_used_as_the_pull_policy_demands(shop: DockerSite, registry: Registry, first: str) -> None:
    """The tag has moved to another image since the engine got it."""
    moved, _ = registry.push("moved", tag="v1.5.0")
    have = {pull: built(shop, registry, "v1.5.0", pull=pull).digest for pull in ("never", "missing")}
    with registry.away():
        away = built(shop, registry, "v1.5.0").digest
        with pytest.raises(PlatformError, match="pulling"):
            built(shop, registry, "v1.5.0", pull="always")
    assert {away, *have.values()} == {have["never"]} != {moved}
    assert built(shop, registry, "v1.5.0", pull="always").digest == moved


def test_an_image_named_by_its_digest_does_not_depend_on_its_tag(shop: DockerSite, registry: Registry) -> None:
    pinned, digest = registry.push("pinned", tag="latest")
    registry.push("newer", tag="latest")
    name = f"{registry.repository}@{digest}"
    assert built(shop, registry, "v1.7.0", image=name, pull="always").digest == pinned
    with registry.away():
        assert built(shop, registry, "v1.7.0", image=name, pull="always").digest == pinned


def test_a_digest_that_the_registry_does_not_have_is_named(shop: DockerSite, registry: Registry) -> None:
    name = f"{registry.repository}@sha256:{'0' * 64}"
    with pytest.raises(PlatformError, match="0000"):
        built(shop, registry, "v1.8.0", image=name)


@pytest.mark.slow
def test_a_moved_tag_is_another_artifact_in_history_and_verdict(
    shop: DockerSite, registry: Registry, first: str
) -> None:
    second, _ = registry.push("second", tag="v1.0.0")
    ended = shop.deploy("v1.0.0", "--redeploy")
    assert ended.status == 0, ended.output
    site = shop.open()
    running = site.platform.observe(Colour.GREEN)
    assert running is not None
    assert {records(site.journal.entries())[-1].digest, shop.verdict()["digest"], running.digest} == {second}
    assert second != first
    assert httpx.get(shop.url, trust_env=False).text == "second"
    assert site.observe().drift == ()


@pytest.mark.slow
def test_a_promoted_image_is_kept_before_newer_ones_that_failed(make_site: MakeSite, registry: Registry) -> None:
    site = from_registry(make_site(), registry)
    platform = site.open().platform
    made = {}
    for name in ("good", "bad-a", "bad-b"):
        registry.push(f"promoted-{name}", tag=name)
        made[name] = built(site, registry, name)
    removed = platform.prune(keep=(), retain=2, promoted={made["good"].digest})
    assert [each.version for each in removed] == ["bad-a"]
    assert [each.version for each in platform.retained()] == ["bad-b", "good"]


def test_retention_removes_pulled_images_with_all_their_names(
    make_site: MakeSite, registry: Registry, client: DockerClient
) -> None:
    site = from_registry(make_site(), registry)
    here = f"{registry.repository}:here"
    registry.push("here", tag="here")
    client.images.pull(registry.repository, tag="here")
    for name in ("old", "new"):
        registry.push(name, tag=name)
    platform = site.open().platform
    gone = [built(site, registry, version) for version in ("here", "old")]
    built(site, registry, "new")
    assert {each.version for each in platform.prune(keep=(), retain=1)} == {"here", "old"}
    assert not is_in_the_engine(client, gone[1].digest)
    # Somebody else had this one before.
    assert client.images.get(here).id == gone[0].digest
    assert is_in_the_engine(client, f"{registry.repository}:new")
