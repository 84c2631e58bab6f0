"""The project's own nginx directives: read from their files, and checked against what a release relies on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cakravia_verify.errors import UsageError
from cakravia_verify.settings.own_nginx import SnippetSettings

# A location with this line goes through the switch. The rendered configuration has our directives in its place.
TO_SLOT: Final = re.compile(r"\binclude\s+cakravia_slot\.conf\s*;")
_MARK: Final = re.compile(r"^\s*# snippet (?P<place>\w+): (?P<file>.*)$")


@dataclass(frozen=True)
class _Rule:
    """A directive that must not be in a snippet: its pattern, the places, and why."""

    directive: str
    places: tuple[str, ...]
    why: str


_ALL: Final = ("http", "server", "locations")
_RULES: Final = (
    _Rule(r"open_file_cache\s+(?!off)", _ALL, "nginx would see the switch late; leave open_file_cache off"),
    _Rule(r"proxy_next_upstream\s", _ALL, "a request could run on both versions; leave it to the proxy"),
    _Rule(
        r"proxy_pass\s+https?://(blue|green|active)\b",
        _ALL,
        "this location would stay on one slot; write include cakravia_slot.conf; instead",
    ),
    _Rule(
        r"set\s+\$(slot|pinned|standby|refusal)\b",
        _ALL,
        "the proxy uses this variable for the switch; choose another name",
    ),
    _Rule(r"access_log\s", ("server",), "measured requests would leave no record; put access_log into a location"),
    _Rule(r"location\s+[^{]*/\.cakravia", ("server", "locations"), "paths below /.cakravia belong to the proxy"),
    _Rule(
        r"(return|rewrite)\s",
        ("server",),
        "it would also answer the release's own requests; put it into a location",
    ),
)


def read_snippets(snippets: SnippetSettings) -> dict[str, str]:
    """Return the text of each snippet by its place. Raises UsageError for a file that is missing or not permitted."""
    texts = {}
    for place, file in snippets.given.items():
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"[proxy.snippets] {place}: {file} cannot be read: {error}",
                remedy="write its path from the folder of cakravia.toml, and save it as UTF-8; nothing was changed",
            ) from error
        for line, why in objections(place, text):
            raise UsageError(
                f"[proxy.snippets] {place}: {file}, line {line}: {why}", remedy="correct it; nothing was changed"
            )
        texts[place] = f"# snippet {place}: {file}\n{text.rstrip()}\n# end of snippet\n"
    return texts


def objections(place: str, text: str) -> Iterator[tuple[int, str]]:
    """Yield line and reason of each directive that a release cannot work with."""
    for number, line in enumerate(text.splitlines(), start=1):
        directives = line.partition("#")[0]
        for rule in _RULES:
            # A directive of a nested block stands behind a brace.
            if place in rule.places and (found := re.search(rf"(?:^|[;{{}}\s]){rule.directive}", directives)):
                if place == "server" and rule.directive.startswith("(return") and _depth(text, number, found.start()):
                    continue
                yield number, f"{found[0].strip(' ;{}')}: {rule.why}"


def explain(message: str, configuration: str) -> str:
    """Return nginx's message with the file and line of the snippet that it is about."""
    named = re.search(r"(?<=in )(/\S+):([0-9]+)\b", message)
    if named is None:
        return message
    lines, place = configuration.splitlines(), ""
    for number in range(min(int(named[2]), len(lines)), 0, -1):
        line = lines[number - 1]
        if "# end of snippet" in line and number != int(named[2]):
            return message
        if found := _MARK.match(line):
            place = f"{found['file']}, line {int(named[2]) - number} ([proxy.snippets] {found['place']})"
            break
    return message.replace(named[0], place) if place else message


def _depth(text: str, number: int, column: int) -> int:
    """Return how many blocks are open at a position. Comments do not count."""
    lines = text.splitlines()
    before = [line.partition("#")[0] for line in lines[: number - 1]] + [lines[number - 1][: column + 1]]
    code = "\n".join(before)
    return code.count("{") - code.count("}")
