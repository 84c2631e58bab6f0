"""The options of the present command line, repeated in every command that a text tells the operator to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

DEFAULT_SITE: Final = "cakravia.toml"
# A command of ours in a text, unless it has its options already.
COMMAND: Final = re.compile(
    r"(?<![\w/.-])(cakravia(?= (?:backup|build|check|completion|demo|deploy|doctor|down|failover|gate|history|hold|"
    r"init|install|keys|lint|load|logs|maintenance|migrate|monitor|plan|prune|recover|regression|report|restore|rollback|"
    r"status|supervise|uninstall|up|watch)\b)"
    r"|pytest suites/[a-z]+\b)"
    r"(?! --(?:site|set))"
)
# Values of these keys may be secret, and texts go into reports.
PRIVATE: Final = ("app.environment", "docker.build_args", "docker.compose_variables", "docker.labels")


class _Present:
    """The options of the process's own command line, as text."""

    text = ""


def with_options(text: str) -> str:
    """Return the text with --site and --set in each command, as they are on the present command line."""
    return COMMAND.sub(lambda found: found[1] + _Present.text, text) if _Present.text else text


def remember_options(site: str, pairs: Sequence[str]) -> None:
    """Keep `--site` and the `--set` pairs of this command line for `with_options`. A default site needs no option."""
    words = [] if site == DEFAULT_SITE else ["--site", site]
    for pair in pairs:
        key, _, value = pair.partition("=")
        words += ["--set", f"{key}=..." if value and key.strip().startswith(PRIVATE) else pair]
    _Present.text = "".join(f" {shlex.quote(word)}" for word in words)


def forget_options() -> None:
    """End what `remember_options` began: texts are as they are written."""
    _Present.text = ""


@contextmanager
def options_remembered(site: str, pairs: Sequence[str]) -> Iterator[None]:
    """Remember the options in the block."""
    remember_options(site, pairs)
    try:
        yield
    finally:
        forget_options()
