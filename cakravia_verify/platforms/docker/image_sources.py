"""Build an image from a folder, or pull it from a registry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cakravia_verify.errors import PlatformError, UsageError
from cakravia_verify.platforms.docker.engine.engine import REMEDIES, Engine, explained
from cakravia_verify.system.clock import Deadline

if TYPE_CHECKING:
    from docker.models.images import Image


def build_image(
    engine: Engine,
    context: Path,
    *,
    dockerfile: str,
    arguments: Mapping[str, str],
    platform: str,
    deadline: Deadline,
    tag: str = "",
) -> Image:
    """Build the image of `context`. Unchanged layers come from the engine's cache."""
    if not (context / dockerfile).is_file():
        raise UsageError(
            f"[docker] there is no {dockerfile} in {context}",
            remedy="set [docker] context to the folder with the Dockerfile",
        )
    with engine.translated(f"building {context.name}"):
        lines = engine.client.api.build(
            path=str(context),
            dockerfile=dockerfile,
            buildargs=dict(arguments),
            platform=platform or None,
            tag=tag or None,
            rm=True,
            forcerm=True,
            decode=True,
        )
        output, image_id = _followed(lines, what=f"building {context.name}", deadline=deadline)
    if not image_id:
        raise PlatformError(
            f"the build of {context} ended without an image:\n{output}", remedy="correct the Dockerfile"
        )
    return engine.ask("reading the new image", lambda: engine.client.images.get(image_id))


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


def _followed(lines: Iterable[Mapping[str, Any]], *, what: str, deadline: Deadline) -> tuple[str, str]:
    """Read the engine's progress. Returns its last lines and the image's id. Raises PlatformError, DeadlineExceeded."""
    output: list[str] = []
    image_id = ""
    for line in lines:
        if "error" in line:
            detail = explained(Exception(str(line["error"])))
            shown = "".join(output[-40:]).strip()[-1500:]
            everything = f"{detail} {shown}".lower()
            remedy = next((remedy for words, remedy in REMEDIES if words in everything), "correct the build")
            raise PlatformError(f"{what} failed: {detail}{f'{chr(10)}{shown}' if shown else ''}", remedy=remedy)
        if "stream" in line:
            output.append(str(line["stream"]))
            if found := re.search(r"^Successfully built ([0-9a-f]+)", str(line["stream"]), re.MULTILINE):
                image_id = found[1]
        if isinstance(line.get("aux"), Mapping) and "ID" in line["aux"]:
            image_id = str(line["aux"]["ID"])
        if deadline.is_over:
            raise deadline.exceeded(f"{what} was stopped", remedy="increase [app] build_timeout")
    return "".join(output[-40:]).strip(), image_id
