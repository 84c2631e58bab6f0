"""Build an image from a folder, or pull it from a registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cakravia_verify.errors import PlatformError
from cakravia_verify.platforms.docker.building.engine_api import build_by_engine
from cakravia_verify.platforms.docker.building.image_build import BuildOutput, ImageBuild
from cakravia_verify.platforms.docker.building.programs import program, require_program
from cakravia_verify.platforms.docker.engine.engine import REMEDIES, Engine, explained
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.files import make_folder

if TYPE_CHECKING:
    from docker.models.images import Image


def build_image(
    engine: Engine,
    build: ImageBuild,
    *,
    deadline: Deadline,
    log: Path,
    told: Callable[[str], None] = lambda _: None,
) -> Image:
    """Build with the engine's BuildKit. Unchanged steps come from its cache.

    `log` gets the whole output, and `told` one line for each step.
    """
    build.require_files()
    way = require_program() if build.needs_session else program() or build_by_engine
    make_folder(log.parent)
    with log.open("wb") as file:
        way(engine, build, BuildOutput(file, told=told), deadline)
    return engine.ask("reading the new image", lambda: engine.client.images.get(build.tag))


def pull_image(engine: Engine, reference: str, *, policy: str, platform: str, deadline: Deadline) -> Image:
    """Return the image of that tag or digest: from the engine if `policy` permits it, else from the registry."""
    from docker.errors import ImageNotFound
    from docker.utils import parse_repository_tag

    def present() -> Image | None:
        try:
            return engine.client.images.get(reference)
        except ImageNotFound:
            return None

    image = engine.ask(f"looking for {reference}", present)
    if image is not None and (policy != "always" or "@sha256:" in reference):
        return image
    if policy == "never":
        raise PlatformError(
            f"the engine has no image {reference}",
            remedy=f'pull it: docker pull {reference}; or set [docker] pull = "missing"',
        )
    repository, tag = parse_repository_tag(reference)
    with engine.translated(f"pulling {reference}"):
        lines = engine.client.api.pull(
            repository, tag=tag or "latest", stream=True, decode=True, platform=platform or None
        )
        _followed(lines, what=f"pulling {reference}", deadline=deadline)
    image = engine.ask(f"looking for {reference}", present)
    if image is None:
        raise PlatformError(
            f"{reference} was pulled, but is not in the engine", remedy=f"pull it by hand: docker pull {reference}"
        )
    return image


def _followed(lines: Iterable[Mapping[str, Any]], *, what: str, deadline: Deadline) -> None:
    """Read the engine's progress to its end. Raises PlatformError, DeadlineExceeded."""
    for line in lines:
        if "error" in line:
            detail = explained(Exception(str(line["error"])))
            remedy = next((remedy for words, remedy in REMEDIES if words in detail.lower()), "correct the image's name")
            raise PlatformError(f"{what} failed: {detail}", remedy=remedy)
        if deadline.is_over:
            raise deadline.exceeded(f"{what} was stopped", remedy="increase [app] build_timeout")
