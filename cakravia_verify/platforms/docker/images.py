"""The images of a site's versions: built, pulled or loaded, named by version and digest, kept for rollbacks."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cakravia_verify.errors import PlatformError, UsageError
from cakravia_verify.platforms.docker.engine.engine import Engine, explained
from cakravia_verify.platforms.protocol import beyond
from cakravia_verify.settings.docker import DockerSettings
from cakravia_verify.slots import Artifact
from cakravia_verify.system.clock import Deadline
from cakravia_verify.system.files import write_atomically

if TYPE_CHECKING:
    from docker.models.images import Image

MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


@dataclass
class ImageStore:
    """Images of one site in repository `repository`; a description of each lies in `folder`, newest last written.

    The digest is the image's id: it names configuration and layers, whichever registry the image came from.
    """

    engine: Engine
    settings: DockerSettings
    repository: str
    folder: Path
    root: Path

    def add(self, version: str, *, deadline: Deadline) -> Artifact:
        """The image of `version`, from wherever the settings say, under a name of ours."""
        brings_names = not self.settings.context
        before = self._names() if brings_names else {}
        image = self._obtained(version, deadline)
        self._refuse_wrong_platform(image)
        artifact = Artifact(version, str(image.id), self._tag(version, str(image.id)))
        repository, _, tag = artifact.location.rpartition(":")
        self.engine.ask(f"naming the image of {version}", lambda: image.tag(repository, tag=tag))
        description = self.folder / f"{tag}.json"
        after = self._names() if brings_names else {}
        arrived = [name for name, digest in after.items() if digest == image.id != before.get(name)]
        row = {
            "version": version,
            "digest": artifact.digest,
            "image": artifact.location,
            "from": self._told(image),
            "arrived": sorted({*arrived, *_arrived(description)} - {artifact.location}),
        }
        write_atomically(description, json.dumps(row).encode())
        return artifact

    def retained(self) -> tuple[Artifact, ...]:
        present = {str(image.id) for image in self._images()}
        return tuple(artifact for artifact in self._described() if artifact.digest in present)

    def verify(self, artifact: Artifact) -> None:
        """The engine still has exactly this image. Raises PlatformError."""
        from docker.errors import ImageNotFound

        def is_there() -> bool:
            try:
                return str(self.engine.client.images.get(artifact.digest).id) == artifact.digest
            except ImageNotFound:
                return False

        if not self.engine.ask(f"looking for the image of {artifact.version}", is_there):
            raise PlatformError(
                f"the image of {artifact.version} ({artifact.digest[:19]}) is not in the engine any more",
                remedy="deploy the version again; what runs now was not touched",
            )

    def prune(self, *, keep: Collection[str], retain: int, promoted: Collection[str] = ()) -> tuple[Artifact, ...]:
        """What was removed. An image that a container uses stays whatever is asked."""
        described = self._described()
        # Versions may share an image: of a digest that is needed, the newest `retain` names stay.
        needed: dict[str, list[Artifact]] = {digest: [] for digest in keep}
        for artifact in described:
            if artifact.digest in needed and len(needed[artifact.digest]) < max(2, retain):
                needed[artifact.digest].append(artifact)
        surplus = beyond(retain, described, promoted=promoted)
        removed = [artifact for artifact in surplus if artifact not in needed.get(artifact.digest, ())]
        left = {artifact.location for artifact in described} - {artifact.location for artifact in removed}
        kept = {artifact.digest for artifact in described if artifact.location in left}
        for artifact in removed:
            description = self.folder / f"{artifact.location.rpartition(':')[2]}.json"
            if artifact.digest not in kept:
                self._forget(_arrived(description), artifact.digest)
            self._untag(artifact.location)
            description.unlink(missing_ok=True)
        for image in self._images():  # names of ours that nothing describes, of a state folder that was lost
            for tag in image.tags:
                if tag.startswith(f"{self.repository}:") and tag not in left and str(image.id) not in keep:
                    self._untag(tag)
        return tuple(removed)

    # The rest is how.

    def _obtained(self, version: str, deadline: Deadline) -> Image:
        settings = self.settings
        if settings.context:
            context = self.root / _filled(settings.context, version)
            arguments = {name: _filled(value, version) for name, value in settings.build_args.items()}
            return build_image(
                self.engine,
                context,
                dockerfile=settings.dockerfile,
                arguments=arguments,
                platform=settings.platform,
                deadline=deadline,
            )
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
                f"[docker] archive: {archive} cannot be read: {error.strerror}", remedy="docker save writes such a file"
            ) from error
        if len({image.id for image in images}) != 1:
            raise UsageError(
                f"[docker] archive: {archive} holds {len(images)} images instead of one",
                remedy="docker save one image: docker save -o app.tar app:v1.2.0",
            )
        return images[0]

    def _refuse_wrong_platform(self, image: Image) -> None:
        facts = self.engine.facts()
        machine = str(facts.get("Architecture", ""))
        runs = (str(facts.get("OSType", "linux")), MACHINES.get(machine, machine))
        made = (str(image.attrs.get("Os", "linux")), str(image.attrs.get("Architecture", "")))
        if made != runs and not self.settings.platform:
            raise PlatformError(
                f"the image {image.short_id} is made for {'/'.join(made)}, and the engine runs {'/'.join(runs)}",
                remedy="build or push it for the engine's platform; with emulation installed, name it in "
                "[docker] platform",
            )

    def _told(self, image: Image) -> str:
        source = self.settings.image or self.settings.context or self.settings.archive
        if not self.settings.image:
            return source
        from docker.utils import parse_repository_tag

        repository, _ = parse_repository_tag(self.settings.image)
        digests: list[str] = image.attrs.get("RepoDigests") or []
        return next((digest for digest in digests if digest.startswith(f"{repository}@")), source)

    def _tag(self, version: str, digest: str) -> str:
        # A tag has no plus sign; the description beside it has the version as it is.
        return f"{self.repository}:{version.replace('+', '_')[:100]}-{digest.removeprefix('sha256:')[:12]}"

    def _images(self) -> list[Image]:
        return self.engine.ask(
            "listing the images of the site", lambda: self.engine.client.images.list(name=self.repository)
        )

    def _described(self) -> list[Artifact]:
        """Newest first."""
        found = []
        for path in self.folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                row = json.loads(path.read_text(encoding="utf-8"))
                artifact = Artifact(str(row["version"]), str(row["digest"]), str(row["image"]))
                found.append((path.stat().st_mtime_ns, artifact))
        return [artifact for _, artifact in sorted(found, key=lambda each: each[0], reverse=True)]

    def _names(self) -> dict[str, str]:
        """Every name by which the engine knows an image, with the image's id."""
        images = self.engine.ask("listing the engine's images", self.engine.client.images.list)
        return {
            str(name): str(image.id)
            for image in images
            for name in (*(image.attrs.get("RepoTags") or ()), *(image.attrs.get("RepoDigests") or ()))
        }

    def _forget(self, names: Iterable[str], digest: str) -> None:
        """The names under which an image came are gone, where they still are its names: they would keep it for ever."""
        known = self._names()
        for name in names:
            if known.get(name) == digest:
                # Somebody else's container may run it by that name; then it stays.
                with contextlib.suppress(PlatformError):
                    self._untag(name)

    def _untag(self, tag: str) -> None:
        from docker.errors import ImageNotFound

        def untag() -> None:
            with contextlib.suppress(ImageNotFound):
                self.engine.client.images.remove(tag, noprune=False)

        self.engine.ask(f"removing {tag}", untag)


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
    """The image that `context` describes now; layers that have not changed come from the engine's cache."""
    if not (context / dockerfile).is_file():
        raise UsageError(
            f"[docker] there is no {dockerfile} in {context}", remedy="name the folder of the application's Dockerfile"
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
        said, image_id = _followed(lines, what=f"building {context.name}", deadline=deadline)
    if not image_id:
        raise PlatformError(f"the build of {context} ended without an image:\n{said}", remedy="mend the Dockerfile")
    return engine.ask("looking at the new image", lambda: engine.client.images.get(image_id))


def pull_image(engine: Engine, reference: str, *, policy: str, platform: str, deadline: Deadline) -> Image:
    """The image of that tag or digest, from the engine where it has it and `policy` allows."""
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
        raise PlatformError(f"the engine has no image {reference}", remedy='pull it, or set [docker] pull = "missing"')
    repository, tag = parse_repository_tag(reference)
    with engine.translated(f"pulling {reference}"):
        lines = engine.client.api.pull(
            repository, tag=tag or "latest", stream=True, decode=True, platform=platform or None
        )
        _followed(lines, what=f"pulling {reference}", deadline=deadline)
    image = engine.ask(f"looking for {reference}", present)
    if image is None:
        raise PlatformError(f"{reference} was pulled, but is not in the engine", remedy="pull it by hand and look")
    return image


def _followed(lines: Iterable[Mapping[str, Any]], *, what: str, deadline: Deadline) -> tuple[str, str]:
    """What the engine said last, and the id of the image it made. Raises PlatformError and DeadlineExceeded."""
    from cakravia_verify.platforms.docker.engine.engine import REMEDIES

    said: list[str] = []
    image_id = ""
    for line in lines:
        if "error" in line:
            detail = explained(Exception(str(line["error"])))
            shown = "".join(said[-40:]).strip()[-1500:]
            everything = f"{detail} {shown}".lower()
            remedy = next((remedy for words, remedy in REMEDIES if words in everything), "mend the build")
            raise PlatformError(f"{what} failed: {detail}{f'{chr(10)}{shown}' if shown else ''}", remedy=remedy)
        if "stream" in line:
            said.append(str(line["stream"]))
            if found := re.search(r"^Successfully built ([0-9a-f]+)", str(line["stream"]), re.MULTILINE):
                image_id = found[1]
        if isinstance(line.get("aux"), Mapping) and "ID" in line["aux"]:
            image_id = str(line["aux"]["ID"])
        if deadline.is_over:
            raise deadline.exceeded(f"{what} was stopped", remedy="raise [app] build_timeout")
    return "".join(said[-40:]).strip(), image_id


def _filled(text: str, version: str) -> str:
    return text.replace("{version}", version)


def _arrived(description: Path) -> tuple[str, ...]:
    """The names that came into the engine together with a described image."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return tuple(map(str, json.loads(description.read_text(encoding="utf-8"))["arrived"]))
    return ()
