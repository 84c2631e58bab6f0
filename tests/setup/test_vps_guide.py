"""The guide for a VPS: every command of it runs, in the order of the page, in a small project."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cakravia_verify.platforms.process.nginx_program import NginxProgram
from cakravia_verify.testing.throwaway_site import REPOSITORY, ThrowawaySite
from tests.docs.pages import blocks
from tests.setup.old_nginx import SHOP
from tests.setup.sample_site import QUICK

PAGE = REPOSITORY / "docs" / "VPS.md"
# What prepares the machine. Everything else is typed here.
OF_THE_MACHINE = {
    "sudo apt install pipx nginx",
    "pipx install 'cakravia-verify[embedded]'",
    "cd /srv/shop",
    "sudo cakravia install",
}


def commands() -> list[str]:
    lines = [line for block in blocks(PAGE) if block.info == "console" for line in block.text.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def text_of(info: str, start: str) -> str:
    return next(block.text for block in blocks(PAGE) if block.info == info and block.text.startswith(start))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ThrowawaySite]:
    """A project with a Procfile and tests of its own; nothing is set up yet."""
    site = ThrowawaySite(tmp_path / "shop", "")
    site.settings.unlink()
    shutil.copy(SHOP, site.folder)
    (site.folder / "Procfile").write_text(f"web: {sys.executable} shop.py\n")
    (site.folder / "test_shop.py").write_text("def test_own() -> None:\n    pass\n")
    yield site
    site.remove()


@pytest.mark.real
def test_every_command_of_the_guide_works_in_its_order(project: ThrowawaySite) -> None:
    ports = {
        "proxy.listen": f"127.0.0.1:{project.users}",
        "slots.blue": str(project.blue),
        "slots.green": str(project.green),
    }
    quick = [word for key, value in (QUICK | ports).items() for word in ("--set", f"{key}={value}")]
    typed = [command for command in commands() if command not in OF_THE_MACHINE]
    assert len(typed) > 8
    for command in typed:
        program, *words = shlex.split(command)
        assert program == "cakravia", f"{command}: no test runs it"
        ended = project.cakravia(*quick, *words)
        assert ended.status == 0, f"{command}\n{ended.output}"
    assert "v1.0.0 serves users" in project.cakravia("status").output
    assert (project.folder / ".github" / "workflows" / "deploy.yml").is_file()
    assert len(list((project.state / "backups").iterdir())) == 2, "one archive for each deploy"
    own = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=project.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (own.returncode, "1 passed" in own.stdout) == (0, True), own.stdout


@pytest.mark.check
def test_nginx_of_the_guide_is_valid(tmp_path: Path) -> None:
    written = text_of("nginx", "server {").replace("listen 80;", "listen 127.0.0.1:8079;")
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{written}\n}}\n")
    ended = NginxProgram("", tmp_path).run("-t")
    assert "test is successful" in ended.stderr, ended.stderr


@pytest.mark.parametrize("name", [".cakravia/", "reports/"])
def test_guide_names_what_does_not_belong_into_git(name: str) -> None:
    rows = re.findall(r"^\| (.+) \| no; ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert any(f"`{name}`" in row for row in rows)
