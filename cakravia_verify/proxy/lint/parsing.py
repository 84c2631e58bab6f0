"""Parse a configuration file, a part of one, or the output of `nginx -T`. Unknown directives are no errors."""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol

from cakravia_verify.errors import UsageError
from cakravia_verify.foreign_text import one_line
from cakravia_verify.proxy.lint.directives import Directive, IgnoreComment, NginxTree

LARGEST_FILE: Final = 16 * 2**20
DEEPEST_INCLUDE: Final = 32
# The parser calls itself for each block.
DEEPEST_BLOCK: Final = 100
_DUMPED: Final = re.compile(r"^# configuration file (?P<name>/[^\n]*):$", re.MULTILINE)
_IGNORE: Final = re.compile(r"^\s*cakravia-lint:\s*ignore\b(?P<rules>[^:]*)(:(?P<reason>.*))?$", re.DOTALL)


class _Sources(Protocol):
    """Where the texts of included files come from."""

    def names(self, pattern: str) -> list[str]: ...
    def text(self, name: str) -> str: ...


@dataclass(frozen=True)
class _Files:
    """Files of this machine. Relative patterns start at the folder of the first file, as with nginx."""

    folder: Path

    def names(self, pattern: str) -> list[str]:
        whole = str(self.folder / pattern)
        # The pattern may be absolute, which Path.glob refuses.
        return sorted(glob.glob(whole)) if glob.has_magic(whole) else [whole]  # noqa: PTH207

    def text(self, name: str) -> str:
        return read_configuration(Path(name))


@dataclass(frozen=True)
class _Dump:
    """The files in the output of `nginx -T`."""

    texts: Mapping[str, str]

    def names(self, pattern: str) -> list[str]:
        first = next(iter(self.texts))
        whole = str(PurePosixPath(first).parent / pattern)
        if not glob.has_magic(whole):
            return [whole]
        return sorted(name for name in self.texts if _matches(name, whole))

    def text(self, name: str) -> str:
        if name not in self.texts:
            raise UsageError(f"{name} is not in the dump")
        return self.texts[name]


@dataclass(frozen=True)
class _NoFiles:
    """A text without a folder: nothing can be included."""

    def names(self, pattern: str) -> list[str]:
        return [] if glob.has_magic(pattern) else [pattern]

    def text(self, name: str) -> str:
        raise UsageError(f"{name} is included, and its folder is not known: give the output of nginx -T")


def read_configuration(path: Path) -> str:
    """Return the text of a configuration file. Raises UsageError, in words, for what is none."""
    remedy = "name a configuration file of nginx, or - for standard input"
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder", remedy=remedy)
        if not path.is_file():
            raise UsageError(f"{path} does not exist, or is no regular file", remedy=remedy)
        if path.stat().st_size > LARGEST_FILE:
            raise UsageError(f"{path} has more than {LARGEST_FILE // 2**20} MiB", remedy=remedy)
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}", remedy=remedy) from error
    except ValueError as error:  # a name with a NUL
        raise UsageError(f"{str(path)!r} is no file name", remedy=remedy) from error


def parse_file(path: Path) -> NginxTree:
    """Parse a file with all that it includes. Raises UsageError for what is no configuration."""
    text = read_configuration(path)
    if _DUMPED.search(text):
        return parse_text(text, name=str(path))
    return _Reading(_Files(path.absolute().parent)).tree(str(path), text)


def parse_text(text: str, *, name: str = "standard input") -> NginxTree:
    """Parse the text of a configuration or the output of `nginx -T`. Raises UsageError for what is neither."""
    if len(text) > LARGEST_FILE:
        raise UsageError(f"{name} has more than {LARGEST_FILE // 2**20} MiB", remedy="give one configuration")
    dumped = list(_DUMPED.finditer(text))
    if not dumped:
        return _Reading(_NoFiles()).tree(name, text)
    ends = [*(each.start() for each in dumped[1:]), len(text)]
    texts: dict[str, str] = {}
    for each, end in zip(dumped, ends, strict=True):
        # The text begins in the line after the header: line numbers stay those of the file.
        texts.setdefault(each["name"], text[each.end() + 1 : end])
    first = next(iter(texts))
    return _Reading(_Dump(texts)).tree(first, texts[first])


@dataclass
class _Reading:
    """One configuration while it is read."""

    sources: _Sources
    ignores: list[IgnoreComment] = field(default_factory=list)
    comments: set[tuple[str, int]] = field(default_factory=set)
    unread: dict[str, None] = field(default_factory=dict)
    parsed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def tree(self, name: str, text: str) -> NginxTree:
        from crossplane.analyzer import DIRECTIVES

        root = Directive("", file=name)
        self.parsed[name] = _statements(name, text)
        self._put(self.parsed[name], file=name, block=root, included=(name,))
        if not any(each.name in DIRECTIVES for each in root.walk()):
            raise UsageError(
                f"{name} has no directive of nginx",
                remedy="name a configuration file of nginx, or give the output of nginx -T",
            )
        return NginxTree(root, tuple(self.ignores), tuple(self.unread), frozenset(self.comments))

    def _put(self, statements: list[dict[str, Any]], *, file: str, block: Directive, included: tuple[str, ...]) -> None:
        for each in statements:
            line = int(each["line"])
            if each["directive"] == "#":
                self._note_comment(str(each["comment"]), file=file, line=line)
                continue
            if each["directive"] == "include" and each["args"]:
                self._include(str(each["args"][0]), block=block, included=included)
                continue
            made = Directive(str(each["directive"]), tuple(map(str, each["args"])), file, line, block)
            block.inner.append(made)
            self._put(each.get("block") or [], file=file, block=made, included=included)

    def _include(self, pattern: str, *, block: Directive, included: tuple[str, ...]) -> None:
        for name in self.sources.names(pattern):
            if name in included or len(included) >= DEEPEST_INCLUDE:
                self.unread[f"{name} includes itself"] = None
                continue
            if name not in self.parsed:
                try:
                    self.parsed[name] = _statements(name, self.sources.text(name))
                except UsageError as error:
                    self.unread[error.message] = None
                    self.parsed[name] = []
            self._put(self.parsed[name], file=name, block=block, included=(*included, name))

    def _note_comment(self, text: str, *, file: str, line: int) -> None:
        self.comments.add((file, line))
        if found := _IGNORE.match(text):
            rules = tuple(found["rules"].replace(",", " ").split())
            comment = IgnoreComment(file, line, rules, one_line(found["reason"] or ""))
            if comment not in self.ignores:
                self.ignores.append(comment)


def _statements(name: str, text: str) -> list[dict[str, Any]]:
    import crossplane

    if "\0" in text:
        raise UsageError(f"{name} is no text", remedy="name a configuration file of nginx")
    _refuse_deep(name, text)
    payload = crossplane.parse_string(
        text, filename=name, single=True, comments=True, check_ctx=False, check_args=False
    )
    for error in payload["errors"]:
        message = one_line(str(error["error"]))
        raise UsageError(f"not a configuration: {message}", remedy="nginx -t says what it misses there")
    return list(_flat(payload["config"]))


def _refuse_deep(name: str, text: str) -> None:
    depth = deepest = 0
    for found in re.finditer(r"[{}]", text):
        depth += 1 if found[0] == "{" else -1
        deepest = max(deepest, depth)
    if deepest > DEEPEST_BLOCK:
        raise UsageError(f"{name} has more than {DEEPEST_BLOCK} blocks in each other", remedy="nginx refuses it too")


def _flat(configs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in configs:
        yield from each["parsed"]


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) and name.count("/") == pattern.count("/")
