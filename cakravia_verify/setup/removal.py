"""What init and releases left in a project, and how it goes. Data of the application stays unless it is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cakravia_verify.errors import UsageError
from cakravia_verify.kinds import SUITES
from cakravia_verify.report.folder import LATEST, runs_in
from cakravia_verify.settings.models import Settings
from cakravia_verify.setup.docker_plan import OWN_COMPOSE_FILE
from cakravia_verify.setup.initialise import IGNORED, IGNORED_ON_DOCKER
from cakravia_verify.setup.migration import MOVED, MOVING, Migration

DATA: Final = "data"


@dataclass(frozen=True)
class Part:
    """One file or folder of ours. `why` is not empty if it stays."""

    path: Path
    why: str = ""


def refuse_while_users_come_through(settings: Settings) -> None:
    """Raise UsageError while an old nginx passes the requests of users on to this site."""
    if (state := Migration(settings).state) in (MOVING, MOVED):
        raise UsageError(
            f"an nginx passes the requests of users on to this site (migration: {state})",
            remedy="bring them back first: cakravia migrate undo",
        )


def parts_of(settings: Settings, *, serves: bool, with_data: bool) -> tuple[Part, ...]:
    """Return what is ours. `serves`: users are served from the state folder, so it stays. Changes nothing."""
    return tuple(_parts(settings, serves=serves, with_data=with_data))


def _parts(settings: Settings, *, serves: bool, with_data: bool) -> Iterator[Part]:
    running = "users are served from it" if serves else ""
    if settings.state.is_dir():
        data = settings.state / DATA
        keeps_data = data.is_dir() and any(data.iterdir()) and not with_data
        if running:
            yield Part(settings.state, running)
        else:
            yield from (Part(path, "data of the application" if path == data and keeps_data else "")
                        for path in sorted(settings.state.iterdir()))  # fmt: skip
    for path in runs_in(settings.reports):
        yield Part(path)
    if (settings.reports / LATEST).is_symlink():
        yield Part(settings.reports / LATEST)
    for path in (settings.root / OWN_COMPOSE_FILE, settings.root / settings.docker.compose_file):
        if path.exists():
            yield Part(path, running if path.name == settings.docker.compose_file else "")
    yield from _suites(settings.root / "suites")
    if settings.file.exists():
        yield Part(settings.file, running)


def _suites(folder: Path) -> Iterator[Part]:
    """Yield the copies of our suites. A file that was changed, or is not ours, stays."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".py", ".ini"):
            ours = SUITES / path.relative_to(folder)
            is_copy = ours.is_file() and ours.read_bytes() == path.read_bytes()
            yield Part(path, "" if is_copy else "it is not a copy of ours")


def remove_parts(settings: Settings, parts: tuple[Part, ...]) -> Iterator[str]:
    """Remove every part that does not stay, and our lines in ignore files. Yields one line for each."""
    for part in parts:
        if part.why:
            continue
        if part.path.is_dir() and not part.path.is_symlink():
            shutil.rmtree(part.path)
        else:
            part.path.unlink(missing_ok=True)
        yield f"removed {part.path}"
    for folder in (settings.state, settings.reports, *_empty_folders(settings.root / "suites")):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    for name in (".gitignore", ".dockerignore"):
        if _forget_ignore_rules(settings.root / name):
            yield f"removed our lines in {name}"


def _empty_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders of the suites, the inner ones first, after Python's caches are gone."""
    for cache in sorted(folder.rglob("__pycache__")):
        shutil.rmtree(cache)
    yield from sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True)
    yield folder


def _forget_ignore_rules(path: Path) -> bool:
    if not path.is_file():
        return False
    ours = {"# Cakravia Verify", *IGNORED, *IGNORED_ON_DOCKER}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    left = [line for line in lines if line.rstrip("\n") not in ours]
    if left == lines:
        return False
    path.write_text("".join(left), encoding="utf-8") if left else path.unlink()
    return True
