"""The words an operator types: every spelling of the version reaches the release, and pytest's own still work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugin.sessions.shop import SUITES, Shop

DEPLOY = str(SUITES / "deploy")


@pytest.fixture
def nowhere(tmp_path: Path) -> Shop:
    """A site whose settings hold nothing valid, so that a session that gets as far as its site says so and stops."""
    shop = Shop(tmp_path / "shop")
    shop.settings.write_text("[no-such-section]\n")
    return shop


REACHED = "unknown key 'no-such-section'"


@pytest.mark.parametrize(
    "words",
    [("--version", "v1.2.0"), ("--release", "v1.2.0"), ("--release=v1.2.0",)],
    ids=" ".join,
)
def test_every_spelling_names_the_release(words: tuple[str, ...], nowhere: Shop) -> None:
    ended = nowhere.pytest(DEPLOY, *nowhere.site, *words)
    assert (ended.status, REACHED in ended.output) == (4, True), ended.output


@pytest.mark.parametrize("words", [("--version", "v1.2.0"), ("--release=v1.2.0",)], ids=" ".join)
def test_pytest_command_understands_them_too(words: tuple[str, ...], nowhere: Shop) -> None:
    """`pytest` and `python -m pytest` start differently: the console script's own name is in its arguments."""
    command = Path(sys.executable).with_name("pytest")
    done = subprocess.run(
        [command, DEPLOY, *nowhere.site, *words], cwd=nowhere.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert REACHED in done.stdout + done.stderr


def test_version_with_an_equals_sign_ends_with_status_4_and_touches_nothing(nowhere: Shop) -> None:
    ended = nowhere.pytest(DEPLOY, *nowhere.site, "--version=v1.2.0")
    assert ended.status == 4, ended.output
    assert "ignored explicit argument 'v1.2.0'" in ended.output
    assert not ended.has_traceback
    assert not nowhere.state.exists()
    assert not nowhere.reports.exists()


def test_version_may_stand_before_the_suite(nowhere: Shop) -> None:
    ended = nowhere.pytest("--version", "v1.2.0", DEPLOY, *nowhere.site)
    assert (ended.status, REACHED in ended.output) == (4, True), ended.output


def test_version_alone_is_pytests_own(nowhere: Shop) -> None:
    ended = nowhere.pytest("--version")
    assert ended.status == 0
    assert ended.output.startswith(f"pytest {pytest.__version__}")


@pytest.mark.parametrize(
    "words", [(DEPLOY, "--version"), ("--version", DEPLOY), (DEPLOY, "--version", "-q")], ids=range(3)
)
def test_version_without_a_value_beside_a_suite_is_an_error(words: tuple[str, ...], nowhere: Shop) -> None:
    ended = nowhere.pytest(*words, *nowhere.site)
    assert ended.status == 4
    assert "--version names no version" in ended.output
    assert not ended.has_traceback


def test_version_without_a_suite_is_an_error(nowhere: Shop) -> None:
    (nowhere.folder / "test_something.py").write_text("def test_it():\n    pass\n")
    ended = nowhere.pytest("test_something.py", "--version", "v1.2.0")
    assert ended.status == 4
    assert "needs a release suite" in ended.output


def test_pytest_is_one_whose_version_option_can_be_respelled() -> None:
    """pytest 9 answers `--version` before it loads any plugin, and exits 0 having released nothing.

    The dependency is held below 9 for this; whoever lifts it must find another way for `--version v1.2.0` first.
    """
    assert int(pytest.__version__.partition(".")[0]) < 9
    requirement = (SUITES.parent / "pyproject.toml").read_text()
    assert '"pytest>=8.4.2,<9"' in requirement


def test_plain_pytest_runs_are_left_alone(nowhere: Shop) -> None:
    """The plugin is loaded in every pytest run of its environment: it must cost them nothing."""
    (nowhere.folder / "test_something.py").write_text("def test_it():\n    pass\n")
    ended = nowhere.pytest("test_something.py")
    assert ended.status == 0
    assert not nowhere.reports.exists()
