"""The distributions of this checkout, installed as a user installs them, and a project beside them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cakravia_verify.testing.throwaway_site import Ended, ThrowawaySite

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "examples" / "shop"
# Beside the project's own settings: ports of this test, less traffic, and no demand on the speed of this machine.
MORE = """
[slots]
blue = $blue
green = $green
[proxy]
listen = "127.0.0.1:$users"
[traffic]
users = 10
rate = 80.0
[budget]
min_requests = 50
min_each = 1
min_rate_held = 0.5
p99 = 10.0
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment that sees no other package. `bin` has its commands."""

    bin: Path

    def install(self, *requirements: str) -> None:
        """Install with this interpreter's pip, from where it installs. What is not imported need not be compiled."""
        pip = (sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "--disable-pip-version-check")
        run(*pip, "install", "--quiet", "--no-compile", *requirements)

    def site_packages(self) -> Path:
        return next(self.bin.parent.glob("lib/python3*/site-packages"))


def run(*command: str, folder: Path = ROOT) -> str:
    """Return the output of a command that succeeded."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


class Project(ThrowawaySite):
    """A copy of a foreign project. Its commands are those of an environment, and see nothing of this checkout."""

    python_path = ()

    def __init__(self, folder: Path, environment: Environment) -> None:
        shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__"))
        settings = (PROJECT / "cakravia.toml").read_text().replace("bake = 5.0", "bake = 1.0")
        super().__init__(folder, settings + MORE)
        self.environment = environment

    def type(self, *words: str, **variables: str) -> Ended:
        """Return how a command of the environment ended, typed in the project's folder."""
        path = os.pathsep.join((str(self.environment.bin), os.environ["PATH"]))
        command = [str(self.environment.bin / words[0]), *words[1:]]
        return self.begin(command, environment={"PATH": path, **variables}).wait()

    def cakravia(self, *arguments: str, environment: object = None) -> Ended:
        return self.type("cakravia", *arguments)


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist of this checkout, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("distributions")
    tools = Environment(folder / "tools" / "bin")
    venv.create(folder / "tools", symlinks=True)
    tools.install("build", "hatchling>=1.27")
    run(str(tools.bin / "python"), "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    return {"sdist": next(folder.glob("*.tar.gz")), "wheel": next(folder.glob("*.whl"))}


@pytest.fixture(scope="session")
def environment(distributions: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An empty environment with the wheel and the extra `embedded`."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    made = Environment(folder / "bin")
    made.install(f"{distributions['wheel']}[embedded]")
    return made


@pytest.fixture(scope="module")
def project(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The example shop in a folder of its own, without the checks that need a browser."""
    made = Project(tmp_path_factory.mktemp("project") / "shop", environment)
    shutil.rmtree(made.folder / "suites")
    yield made
    assert made.tear_down() == []
