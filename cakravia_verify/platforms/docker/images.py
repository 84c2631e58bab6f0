"""The images of a site's versions, named by version and digest, retained for rollbacks."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cakravia_verify.errors import PlatformError, UsageError
from cakravia_verify.platforms.docker.building.image_build import ImageBuild
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.image_sources import build_image, pull_image
from cakravia_verify.platforms.protocol import surplus_of
from cakravia_verify.settings.docker import DockerSettings
from cakravia_verify.slots import Artifact
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.files import write_atomically

if TYPE_CHECKING:
    from docker.models.images import Image

# What a version's plus sign is in the tag of its image.
PLUS = "__"
# A draft that is older than this belongs to no build any more.
DRAFT_SECONDS = 24 * 3600
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


@dataclass
class ImageStore:
    """Images of one site in the repository `repository`, each with a description in `folder`.

    The digest is the image's id. It covers configuration and layers, and does not depend on the registry.
    """

    engine: Engine
    settings: DockerSettings
    repository: str
    folder: Path
    root: Path

    def add(self, version: str, *, deadline: Deadline, told: Callable[[str], None] = lambda _: None) -> Artifact:
        """Build, load or pull the image of `version`, and give it the site's own name. `told` gets each step."""
        self.build_log.unlink(missing_ok=True)
        brings_names = not self.settings.context
        before = self._names() if brings_names else {}
        draft = f"{self._drafts}:{secrets.token_hex(8)}"
        image = self._obtained(version, draft, deadline, told)
        self._refuse_wrong_platform(image)
        artifact = Artifact(version, str(image.id), self._tag(version, str(image.id)))
        repository, _, tag = artifact.location.rpartition(":")
        self.engine.ask(f"naming the image of {version}", lambda: image.tag(repository, tag=tag))
        self._untag_drafts(draft)
        description = self.folder / f"{tag}.json"
        after = self._names() if brings_names else {}
        arrived = [name for name, digest in after.items() if digest == image.id != before.get(name)]
        row = {
            "version": version,
            "digest": artifact.digest,
            "image": artifact.location,
            "from": self._origin_of(image),
            "arrived": sorted({*arrived, *_arrived(description)} - {artifact.location}),
        }
        write_atomically(description, json.dumps(row).encode())
        return artifact

    def retained(self) -> tuple[Artifact, ...]:
        present = {str(image.id) for image in self._images()}
        return tuple(artifact for artifact in self._described() if artifact.digest in present)

    def verify(self, artifact: Artifact) -> None:
        """Raise PlatformError if the engine no longer has exactly this image."""
        from docker.errors import ImageNotFound

        def is_there() -> bool:
            try:
                return str(self.engine.client.images.get(artifact.digest).id) == artifact.digest
            except ImageNotFound:
                return False

        if not self.engine.ask(f"looking for the image of {artifact.version}", is_there):
            raise PlatformError(
                f"the image of {artifact.version} ({artifact.digest[:19]}) is no longer in the engine",
                remedy="deploy the version again; the running slot was not touched",
            )

    def prune(self, *, keep: Collection[str], retain: int, promoted: Collection[str] = ()) -> tuple[Artifact, ...]:
        """Remove surplus images and return them. The engine keeps an image that a container uses."""
        described = self._described()
        # Versions may share an image. The newest `retain` names of a needed digest stay.
        needed: dict[str, list[Artifact]] = {digest: [] for digest in keep}
        for artifact in described:
            if artifact.digest in needed and len(needed[artifact.digest]) < max(2, retain):
                needed[artifact.digest].append(artifact)
        surplus = surplus_of(described, retain=retain, promoted=promoted)
        removed = [artifact for artifact in surplus if artifact not in needed.get(artifact.digest, ())]
        kept = {artifact.digest for artifact in described if artifact not in removed}
        for artifact in removed:
            description = self.folder / f"{artifact.location.rpartition(':')[2]}.json"
            if artifact.digest not in kept:
                self._forget(_arrived(description), artifact.digest)
            self._untag(artifact.location)
            description.unlink(missing_ok=True)
        return tuple(removed)

    @property
    def build_log(self) -> Path:
        """The output of the last build."""
        return self.folder.with_name("build.log")

    @property
    def _drafts(self) -> str:
        """The repository of images that were just built and have no lasting name yet."""
        return f"{self.repository}-draft"

    def _obtained(self, version: str, draft: str, deadline: Deadline, told: Callable[[str], None]) -> Image:
        settings = self.settings
        if settings.context:
            build = ImageBuild(
                self.root / _filled(settings.context, version),
                draft,
                dockerfile=settings.dockerfile,
                arguments={name: _filled(value, version) for name, value in settings.build_args.items()},
                platform=settings.platform,
                target=settings.build_target,
                secrets={name: self.root / path for name, path in settings.build_secret_files.items()},
                secret_variables=settings.build_secret_variables,
                has_ssh=settings.build_ssh,
            )
            return build_image(self.engine, build, deadline=deadline, log=self.build_log, told=told)
        if settings.archive:
            return self._loaded(self.root / _filled(settings.archive, version))
        return pull_image(
            self.engine,
            _filled(settings.image, version),
            policy=settings.pull,
            platform=settings.platform,
            deadline=deadline,
        )

    def _loaded(self, archive: Path) -> Image:
        what = f"loading {archive}"
        try:
            with archive.open("rb") as file:
                images = self.engine.ask(what, lambda: self.engine.client.images.load(file), again=False)
        except OSError as error:
            raise UsageError(
                f"[docker] archive: {archive} cannot be read: {error.strerror}", remedy="write it with docker save"
            ) from error
        if len({image.id for image in images}) != 1:
            raise UsageError(
                f"[docker] archive: {archive} contains {len(images)} images instead of one",
                remedy="save one image, for example: docker save -o app.tar app:v1.2.0",
            )
        return images[0]

    def _untag_drafts(self, mine: str) -> None:
        """Remove the draft's name of a named image, and drafts that a killed build left long ago."""
        drafts = self.engine.ask("listing drafts", lambda: self.engine.client.images.list(name=self._drafts))
        for image in drafts:
            is_old = self.engine.clock.wall() - _named_at(image) / 1e9 > DRAFT_SECONDS
            for tag in image.tags:
                if tag == mine or (is_old and tag.startswith(f"{self._drafts}:")):
                    self._untag(tag)

    def _refuse_wrong_platform(self, image: Image) -> None:
        facts = self.engine.facts()
        machine = str(facts.get("Architecture", ""))
        runs = (str(facts.get("OSType", "linux")), MACHINES.get(machine, machine))
        made = (str(image.attrs.get("Os", "linux")), str(image.attrs.get("Architecture", "")))
        if made != runs and not self.settings.platform:
            raise PlatformError(
                f"the image {image.short_id} is made for {'/'.join(made)}, but the engine runs {'/'.join(runs)}",
                remedy="build it for the engine's platform; or install emulation and set [docker] platform",
            )

    def _origin_of(self, image: Image) -> str:
        source = self.settings.image or self.settings.context or self.settings.archive
        if not self.settings.image:
            return source
        from docker.utils import parse_repository_tag

        repository, _ = parse_repository_tag(self.settings.image)
        digests: list[str] = image.attrs.get("RepoDigests") or []
        return next((digest for digest in digests if digest.startswith(f"{repository}@")), source)

    def _tag(self, version: str, digest: str) -> str:
        # A tag cannot contain a plus sign.
        return f"{self.repository}:{version.replace('+', PLUS)[:100]}-{digest.removeprefix('sha256:')[:12]}"

    def _images(self) -> list[Image]:
        return self.engine.ask(
            "listing the images of the site", lambda: self.engine.client.images.list(name=self.repository)
        )

    def _described(self) -> list[Artifact]:
        """Return the site's artifacts, newest first: those described here, and those that another machine named."""
        found: list[tuple[int, Artifact]] = []
        for path in self.folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                row = json.loads(path.read_text(encoding="utf-8"))
                artifact = Artifact(str(row["version"]), str(row["digest"]), str(row["image"]))
                found.append((path.stat().st_mtime_ns, artifact))
        known = {artifact.location for _, artifact in found}
        for image in self._images():
            for tag in image.tags:
                if tag.startswith(f"{self.repository}:") and tag not in known:
                    version = tag.rpartition(":")[2].rpartition("-")[0].replace(PLUS, "+")
                    found.append((_named_at(image), Artifact(version, str(image.id), tag)))
        return [artifact for _, artifact in sorted(found, key=lambda each: each[0], reverse=True)]

    def _names(self) -> dict[str, str]:
        """Return the names of all images in the engine, with the image's id."""
        # The list alone, without a look at each image: another one may be removed meanwhile.
        rows = self.engine.ask("listing the engine's images", self.engine.client.api.images)
        return {
            str(name): str(row["Id"])
            for row in rows
            for name in (*(row.get("RepoTags") or ()), *(row.get("RepoDigests") or ()))
        }

    def _forget(self, names: Iterable[str], digest: str) -> None:
        """Remove the names that came with an image, if they still name it. Otherwise they would keep it for ever."""
        known = self._names()
        for name in names:
            if known.get(name) == digest:
                # A foreign container may use it by that name; then it stays.
                with contextlib.suppress(PlatformError):
                    self._untag(name)

    def _untag(self, tag: str) -> None:
        from docker.errors import ImageNotFound

        def untag() -> None:
            with contextlib.suppress(ImageNotFound):
                self.engine.client.images.remove(tag, noprune=False)

        self.engine.ask(f"removing {tag}", untag)


def _filled(text: str, version: str) -> str:
    return text.replace("{version}", version)


def _named_at(image: Image) -> int:
    """Return when the image got its last name, in nanoseconds since 1970. 0 if the engine does not know it."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return int(datetime.fromisoformat(image.attrs["Metadata"]["LastTagTime"]).timestamp() * 1e9)
    return 0


def _arrived(description: Path) -> tuple[str, ...]:
    """Return the names that came into the engine together with a described image."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return tuple(map(str, json.loads(description.read_text(encoding="utf-8"))["arrived"]))
    return ()
