"""Where the images of versions and of the proxy come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, on_docker, problem, warning
from cakravia_verify.slots import Colour


def _find(ground: Ground) -> Iterator[CheckFinding]:
    docker, root = ground.settings.docker, ground.settings.root
    if docker.context and "{version}" not in docker.context:
        file = root / docker.context / docker.dockerfile
        if not file.is_file():
            yield problem(
                f"[docker] context: there is no {file}",
                needed="a folder with a Dockerfile",
                remedy="correct [docker] context and dockerfile",
            )
        else:
            yield ok(f"versions are built in {file.parent}")
    if docker.archive and not _archives(root, docker.archive):
        yield problem(
            f"[docker] archive: there is no file like {root / docker.archive}",
            needed="the archive of the version to release",
            remedy="write it: docker save -o FILE IMAGE",
        )
    if docker.image and docker.pull == "never" and "{version}" not in docker.image:
        yield _present(ground, "[docker] image", docker.image)
    if docker.proxy_image and docker.pull == "never":
        yield _present(ground, "[docker] proxy_image", docker.proxy_image)
    retained = ground.site.platform.retained()
    yield ok(f"{len(retained)} versions are retained: {', '.join(each.version for each in retained[:5]) or 'none'}")
    for colour in Colour:
        running = ground.site.platform.observe(colour)
        if running is not None and running.digest not in {each.digest for each in retained}:
            yield warning(
                f"the image of {running} is not retained",
                needed="its image, to start it again or to go back to it",
                remedy=f"deploy it again: cakravia deploy {running.version} --redeploy",
            )


def _archives(root: Path, archive: str) -> list[Path]:
    return sorted(root.glob(archive.replace("{version}", "*")))


def _present(ground: Ground, key: str, name: str) -> CheckFinding:
    if ground.engine.has_image(name):
        return ok(f"{key}: {name} is in the engine")
    return problem(
        f"{key}: the engine has no image {name}",
        needed='the image, because pull = "never"',
        remedy=f'docker pull {name}, or set [docker] pull = "missing"',
    )


CHECK: Final = SiteCheck("images", "Images can be made or are there", _find, applies=on_docker)
