"""Every command of the documentation works as printed, in the order given, in a fresh copy of the checkout.

The info string of a fenced block says what the block is: `sh` runs here, `sh docker` runs when an engine answers,
`sh long` takes long: its make targets and programs are only looked up. Every other block is no command.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import site
import subprocess
import sys
import uuid
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from cakravia_verify.cli.main import main
from cakravia_verify.gate.model import Exit
from cakravia_verify.platforms.docker.leftovers import clear_engine
from tests.docs.pages import PAGES, ROOT, blocks, name_of, prose, script
from tests.platforms.docker.docker_stage import base_of, connect
from tests.ports import free_ports

README, DOCKER = ROOT / "README.md", ROOT / "docs" / "DOCKER.md"
OTHERS = [page for page in PAGES if page != README and script(page, "sh")]
NO_COMMANDS = {"toml", "python", "sql", "console", "text", "nginx"}
LONGEST_PAGE = 300.0
COMMANDS = {
    "pytest": "from pytest import console_main as main",
    "cakravia": "from cakravia_verify.cli.main import main",
}
ADDRESS = "127.0.0.1:8080"


@dataclass(frozen=True)
class Checkout:
    """A fresh copy of the checkout with an installed environment, and ports that no other test has."""

    folder: Path
    environment: Mapping[str, str]
    users: str

    def run(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Paste the commands into one shell that ends at the first failure."""
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", commands.replace(ADDRESS, self.users)],
            cwd=self.folder,
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST_PAGE,
            check=False,
        )


def copied_checkout(folder: Path) -> Path:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def provide_environment(checkout: Path) -> None:
    """Make `.venv` as `make venv` would leave it; the packages are those of the running interpreter."""
    folder = checkout / ".venv"
    venv.create(folder, symlinks=True)
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    lines = [str(checkout), *(f"import site; site.addsitedir({path!r})" for path in site.getsitepackages())]
    (packages / "packages.pth").write_text("\n".join(lines) + "\n")
    for name, imported in COMMANDS.items():
        program = folder / "bin" / name
        program.write_text(f"#!{folder}/bin/python\nimport sys\n\n{imported}\n\nsys.exit(main())\n")
        program.chmod(0o755)
    (folder / ".installed").touch()


def clean_environment() -> dict[str, str]:
    """Return the environment without what a test session, another site or an activated environment put there."""
    foreign = ("PYTEST", "CAKRAVIA_", "VIRTUAL_ENV", "MAKE", "MFLAGS", "GITHUB_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    own = str(Path(sys.executable).parent)
    return kept | {"PATH": os.pathsep.join(part for part in kept["PATH"].split(os.pathsep) if part != own)}


def checkout_in(folder: Path, **settings: str) -> Checkout:
    blue, green, users = free_ports(3)
    copied_checkout(folder)
    provide_environment(folder)
    environment = clean_environment() | {
        "CAKRAVIA_SLOTS_BLUE": str(blue),
        "CAKRAVIA_SLOTS_GREEN": str(green),
        "CAKRAVIA_PROXY_LISTEN": f"127.0.0.1:{users}",
        # Shorter than printed, and bearable for a machine that does other things as well.
        "CAKRAVIA_RELEASE_BAKE": "2",
        "CAKRAVIA_BUDGET_P99": "20",
        "CAKRAVIA_BUDGET_MIN_RATE_HELD": "0.5",
        **settings,
    }
    return Checkout(folder, environment, f"127.0.0.1:{users}")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    made = checkout_in(tmp_path_factory.mktemp("checkout"))
    yield made
    made.run(".venv/bin/cakravia down")


@pytest.fixture(scope="module")
def readme(checkout: Checkout) -> subprocess.CompletedProcess[str]:
    """The README's commands, run once; other pages go on from there."""
    return checkout.run(script(README, "sh"))


@pytest.mark.real
def test_commands_of_the_readme_work_in_the_order_given(readme: subprocess.CompletedProcess[str]) -> None:
    assert readme.returncode == 0, readme.stdout


@pytest.mark.real
@pytest.mark.parametrize("page", OTHERS, ids=name_of)
def test_commands_of_a_page_work_after_those_of_the_readme(
    page: Path, checkout: Checkout, readme: subprocess.CompletedProcess[str]
) -> None:
    assert readme.returncode == 0, "the README's commands failed"
    ended = checkout.run(f". .venv/bin/activate\n{script(page, 'sh')}")
    assert ended.returncode == 0, ended.stdout


@pytest.mark.real
@pytest.mark.parametrize("target", ["deploy", "rollback"])
def test_make_prints_the_exit_status_of_a_refused_release(target: str, checkout: Checkout) -> None:
    """make itself ends with 2 whatever a command ended with."""
    ended = checkout.run(f"make {target} VERSION='no version'")
    assert f"exit status of the release: {int(Exit.USAGE_ERROR)} " in ended.stdout
    assert ended.returncode == 2


@pytest.fixture
def docker_checkout(tmp_path: Path) -> Iterator[Checkout]:
    client = connect()
    if isinstance(client, str):
        pytest.skip(client)
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        client.close()
        pytest.skip("the compose plugin is missing")
    name = f"t{uuid.uuid4().hex[:10]}"
    yield checkout_in(
        tmp_path / "checkout",
        CAKRAVIA_SITE_NAME=name,
        CAKRAVIA_DOCKER_BUILD_ARGS=f'{{ BASE = "{base_of("python")}", APP_VERSION = "{{version}}" }}',
        CAKRAVIA_DOCKER_PROXY_BUILD_ARGS=f'{{ BASE = "{base_of("nginx")}" }}',
    )
    clear_engine(client, name)
    client.close()


@pytest.mark.slow
@pytest.mark.real
def test_commands_of_the_docker_page_work_in_the_order_given(docker_checkout: Checkout) -> None:
    ended = docker_checkout.run(f". .venv/bin/activate\n{script(DOCKER, 'sh docker')}")
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_if_it_is_a_command(page: Path) -> None:
    """A block without info string, or an indented one, would not be run by any test."""
    kinds = {block.info for block in blocks(page)}
    assert kinds <= {"sh", "sh docker", "sh long"} | NO_COMMANDS
    assert "sh docker" not in kinds or page == DOCKER
    assert not re.findall(r"\n\n    \S.*", prose(page))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    commands = "".join(block.text for block in blocks(page) if block.info.startswith("sh"))
    named = set(re.findall(r"^make ([a-z-]+)", commands, re.MULTILINE)) | set(
        re.findall(r"`make ([a-z-]+)", prose(page))
    )
    targets = set(re.findall(r"^([a-z-][a-z -]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named <= {name for line in targets for name in line.split()}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_program_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"python (benchmarks/\w+)\.py|python -m (benchmarks\.\w+)", text)
    files = {(one or other.replace(".", "/")) + ".py" for one, other in named}
    assert not [file for file in sorted(files) if not (ROOT / file).is_file()]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_import_of_an_example_works(page: Path) -> None:
    for block in blocks(page):
        if block.info == "python":
            imports: list[ast.stmt] = [
                one for one in ast.parse(block.text).body if isinstance(one, ast.Import | ast.ImportFrom)
            ]
            exec(compile(ast.Module(imports, []), f"{page}:{block.line}", "exec"), {})  # noqa: S102


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_cakravia_command_that_is_named_exists(page: Path) -> None:
    for words in set(re.findall(r"`cakravia ((?:rollback )?[a-z]+)", prose(page))):
        command: click.Command | None = main
        for word in words.split():
            assert isinstance(command, click.Group), words
            command = command.get_command(click.Context(command), word)
        assert command is not None, f"cakravia {words} is no command"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", prose(page))
    assert not [link for link in links if not (page.parent / link).exists()]
