"""The image of the tool is built from every file that the wheel takes in. tests/packaging builds that wheel."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.packaging.conftest import ROOT

DOCKERFILE = ROOT / "images" / "tool" / "Dockerfile"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WHEEL = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
TAKEN_IN = [*WHEEL["packages"], *WHEEL["force-include"], PROJECT["project"]["readme"], "pyproject.toml", "LICENSE"]


def copied() -> set[str]:
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name for line in lines for name in line.split()}


@pytest.mark.parametrize("name", TAKEN_IN)
def test_file_of_the_wheel_is_copied_into_the_image_that_builds_it(name: str) -> None:
    assert any(name == each or name.startswith(f"{each}/") for each in copied())


def test_context_of_the_image_has_what_is_copied_and_nothing_else() -> None:
    rules = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == copied()
