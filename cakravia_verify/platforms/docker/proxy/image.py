"""The proxy's image: building or pulling it, and its nginx version."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cakravia_verify.errors import PlatformError, ProxyError
from cakravia_verify.platforms.docker.building.image_build import ImageBuild
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.image_sources import build_image, pull_image
from cakravia_verify.settings.models import Settings
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.files import write_atomically

if TYPE_CHECKING:
    from docker.models.images import Image

ANSWER_SECONDS: Final = 30


class ProxyImage:
    """The image that `[docker] proxy_image` names, else one built from `proxy_context`, else from the package's own."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine

    def obtain(self, *, deadline: Deadline, fresh: bool = False) -> tuple[str, str]:
        """Return name and id of the image. It is built or pulled if the engine lacks it, or if `fresh`."""
        docker = self._settings.docker
        if docker.proxy_image:
            pulled = pull_image(
                self._engine, docker.proxy_image, policy=docker.pull, platform=docker.platform, deadline=deadline
            )
            return docker.proxy_image, str(pulled.id)
        image = None if fresh else self._present()
        if image is None:
            build = ImageBuild(
                self._settings.root / docker.proxy_context if docker.proxy_context else _own_context(),
                f"{self._repository}:current",
                arguments=docker.proxy_build_args,
                platform=docker.platform,
            )
            log = self._settings.state / "docker" / "build-proxy.log"
            image = build_image(self._engine, build, deadline=deadline, log=log)
        # No later build gets this name, so the running container's image keeps it.
        exact = f"built-{str(image.id).removeprefix('sha256:')[:12]}"
        built = image
        self._engine.ask("naming the proxy's image", lambda: built.tag(self._repository, tag=exact))
        return f"{self._repository}:{exact}", str(image.id)

    def forget_others(self, kept: str) -> None:
        """Remove images that were built for this site's proxy, except the one with id `kept` and the newest.

        A failure is ignored: the next release tries again.
        """
        images = self._engine.client.images
        with contextlib.suppress(PlatformError):
            for image in self._engine.ask("listing the proxy's images", lambda: images.list(name=self._repository)):
                if str(image.id) == kept or f"{self._repository}:current" in image.tags:
                    continue
                for tag in image.tags:
                    self._engine.ask(f"removing {tag}", lambda tag=tag: images.remove(tag), again=False)  # type: ignore[misc]

    def version(self, image_id: str) -> tuple[int, ...]:
        """Return the version of the image's nginx. It is read once for each image."""
        note = self._settings.state / "docker" / "nginx-version"
        with contextlib.suppress(OSError, ValueError, KeyError):
            return tuple(json.loads(note.read_text(encoding="utf-8"))[image_id])
        output = self._engine.ask(
            "reading nginx's version", lambda: _output_of(self._engine, image_id, ["nginx", "-v"]), kind=ProxyError
        )
        match = re.search(rb"nginx/([0-9]+)\.([0-9]+)\.([0-9]+)", output)
        if not match:
            raise ProxyError(
                f"`nginx -v` in the proxy's image prints no version, but: {output[:200]!r}",
                remedy="set [docker] proxy_image or proxy_context to an image with nginx (see images/nginx/Dockerfile)",
            )
        version = [int(part) for part in match.groups()]
        write_atomically(note, json.dumps({image_id: version}).encode())
        return tuple(version)

    @property
    def _repository(self) -> str:
        return f"cakravia-verify/{self._settings.site.name}-nginx"

    def _present(self) -> Image | None:
        from docker.errors import ImageNotFound

        with contextlib.suppress(ImageNotFound):
            return self._engine.client.images.get(f"{self._repository}:current")
        return None


def _output_of(engine: Engine, image_id: str, command: list[str]) -> bytes:
    """Run a command in a new container and return its output. The container is removed afterwards."""
    container = engine.client.containers.create(
        image_id, command, entrypoint=[], network_mode="none", read_only=True, cap_drop=["ALL"], mem_limit=64 * 2**20
    )
    try:
        container.start()
        container.wait(timeout=ANSWER_SECONDS)
        return container.logs()
    finally:
        container.remove(force=True, v=True)


def _own_context() -> Path:
    """Return the folder of the proxy's Dockerfile: beside this module in a wheel, else in the repository."""
    packaged = Path(__file__).with_name("nginx_image")
    return packaged if packaged.is_dir() else Path(__file__).parents[4] / "images" / "nginx"
