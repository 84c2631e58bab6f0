"""Real projects of the examples as sites of their own, with their own compose files as they are."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from docker.errors import ImageNotFound

from cakravia_verify.testing.throwaway_site import REPOSITORY
from tests.platforms.docker.docker_stage import DockerSite, base_of

if TYPE_CHECKING:
    from docker import DockerClient

    from tests.platforms.docker.conftest import MakeSite

DJANGO, NEXT = REPOSITORY / "examples" / "django_app", REPOSITORY / "examples" / "next_app"
# Tables of a project's settings: those that a test's site has instead, and those that both of them fill.
OF_THE_STAGE, MERGED = ("site", "proxy", "traffic"), ("docker", "release")
# npm of this line runs on every Node that Next.js 15 runs on.
NPM = "npm@10"
BASE_WITH_NPM = """\
FROM {base}
COPY npm /usr/local/lib/node_modules/npm
COPY cache /npm-cache
RUN ln -s /usr/local/lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
ENV npm_config_cache=/npm-cache npm_config_offline=true npm_config_update_notifier=false
"""
# What is shown is that no request is lost. A busy machine may be slow meanwhile.
QUIETER = tuple(
    word
    for setting in (
        "traffic.rate=25",
        "traffic.timeout=30",
        "release.bake=3",
        "health.deadline=60",
        "budget.p99=30",
        "budget.min_rate_held=0.5",
    )
    for word in ("--set", setting)
)


def compose(site: DockerSite, *arguments: str) -> str:
    command = ["docker", "compose", "-f", str(site.folder / "docker-compose.yml"), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@contextmanager
def django_site(make_site: MakeSite, client: DockerClient) -> Iterator[DockerSite]:
    """The Django project in a folder of its own, with its database; nothing is released yet."""
    try:
        client.images.get(base_of("postgres"))
    except ImageNotFound:
        pytest.skip(f"the engine has no image {base_of('postgres')}; .ci/provide-base-images makes it")
    site = _site_of(DJANGO, make_site)
    (site.folder / "secrets").mkdir()
    for name in ("database_password", "django_key"):
        (site.folder / "secrets" / name).write_text(f"{name} of a test")
    _name(site, POSTGRES_IMAGE=base_of("postgres"), PYTHON_IMAGE=base_of("python"))
    compose(site, "up", "--detach", "--wait", "db")
    try:
        yield site
    finally:
        site.cakravia("down")
        compose(site, "down", "--volumes", "--timeout", "1")


@contextmanager
def next_site(make_site: MakeSite, client: DockerClient, folder: Path) -> Iterator[DockerSite]:
    """The Next.js project in a folder of its own; its builds find npm and its packages in their base image."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm here")
    base = _base_with_npm(client, folder)
    site = _site_of(NEXT, make_site)
    site.settings.write_text(site.settings.read_text().replace("[proxy]\n", '[proxy]\nassets = ["/_next/static/"]\n'))
    _name(site, NODE_IMAGE=base)
    try:
        yield site
    finally:
        site.cakravia("down")
        client.images.remove(base, force=True)


def _site_of(project: Path, make_site: MakeSite) -> DockerSite:
    """Copy the project, and write its settings with the names and ports of a test."""
    site = make_site(more="")
    shutil.copytree(project, site.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("cakravia.toml"))
    stage = site.settings.read_text().splitlines()
    kept = [line for line in stage if not line.startswith(("context =", "build_args ="))]
    for name, lines in _tables((project / "cakravia.toml").read_text()):
        if name in MERGED:
            at = kept.index(f"[{name}]") + 1
            kept[at:at] = lines[1:]
        elif name not in OF_THE_STAGE:
            kept += lines
    site.settings.write_text("\n".join(kept) + "\n")
    with (site.folder / ".dockerignore").open("a") as ignored:
        ignored.write("output-*.txt\ncache\n")  # what the test writes beside the project
    return site


def _tables(text: str) -> list[tuple[str, list[str]]]:
    """Split the settings into the lines of their tables, each with its name."""
    parts: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("["):
            parts.append([])
        parts[-1].append(line)
    return [(part[0].strip("[] "), part) for part in parts[1:]]


def _name(site: DockerSite, **variables: str) -> None:
    lines = [f"COMPOSE_PROJECT_NAME={site.name}", *(f"{name}={value}" for name, value in variables.items())]
    (site.folder / ".env").write_text("\n".join(lines) + "\n")


def _base_with_npm(client: DockerClient, folder: Path) -> str:
    """Build the base image of a machine whose builds reach no registry: with npm, and with the project's packages."""
    context = folder / "base"
    project = folder / "packages"
    project.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NEXT / name, project)
    npm = ["npm", "--no-audit", "--no-fund", "--cache", str(context / "cache")]
    for command in ([*npm, "ci"], [*npm, "install", "--prefix", str(folder / "npm"), NPM]):
        subprocess.run(command, cwd=project, check=True, capture_output=True, timeout=300)
    shutil.copytree(folder / "npm" / "node_modules" / "npm", context / "npm", symlinks=True)
    (context / "Dockerfile").write_text(BASE_WITH_NPM.format(base=base_of("node")))
    name = "cakravia-test/node-with-npm:current"
    client.images.build(path=str(context), tag=name, rm=True)
    return name
