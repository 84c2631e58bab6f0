"""nginx's configuration as a tree of directives. Included files stand in place of their `include`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True, eq=False)
class Directive:
    """One directive with its place. A block has `inner` directives; the root of the tree has no name."""

    name: str
    arguments: tuple[str, ...] = ()
    file: str = ""
    line: int = 0
    outer: Directive | None = None
    inner: list[Directive] = field(default_factory=list)

    @property
    def value(self) -> str:
        """The arguments, with one space between them."""
        return " ".join(self.arguments)

    @property
    def first(self) -> str:
        return self.arguments[0] if self.arguments else ""

    @property
    def last(self) -> str:
        return self.arguments[-1] if self.arguments else ""

    @property
    def around(self) -> Iterator[Directive]:
        """The blocks around this directive, from the inside to the outside."""
        block = self.outer
        while block is not None:
            yield block
            block = block.outer

    def walk(self) -> Iterator[Directive]:
        """Yield every directive below this one, in the order of the text."""
        return iter(self._below)

    def all(self, *names: str) -> Iterator[Directive]:
        """Yield every directive below this one with one of these names."""
        return (each for each in self._below if each.name in names)

    @cached_property
    def _below(self) -> tuple[Directive, ...]:
        """Everything below, once the tree is complete."""
        found: list[Directive] = []
        waiting = self.inner[::-1]
        while waiting:
            each = waiting.pop()
            found.append(each)
            waiting += each.inner[::-1]
        return tuple(found)

    def own(self, *names: str) -> list[Directive]:
        """Return the directives directly in this block with one of these names."""
        return [each for each in self.inner if each.name in names]

    def effective(self, *names: str) -> list[Directive]:
        """Return what nginx uses in this block: its own directives of these names, else those of the next block around
        it that has some."""
        for block in (self, *self.around):
            if found := block.own(*names):
                return found
        return []

    def removed(self, name: str) -> set[str]:
        """Return the first arguments, in lower case, of the outer directives that this block's own ones remove."""
        own = self.own(name)
        outer = self.outer.effective(name) if own and self.outer is not None else []
        return {each.first.lower() for each in outer} - {each.first.lower() for each in own}

    def setting(self, name: str) -> str:
        """Return the effective value of a directive, '' if it stands nowhere."""
        found = self.effective(name)
        return found[-1].value if found else ""

    def inside(self, name: str) -> Directive | None:
        """Return the next block of this name around this directive, or the directive itself."""
        return next((block for block in (self, *self.around) if block.name == name), None)


@dataclass(frozen=True)
class IgnoreComment:
    """A comment that switches rules off for the directive in or below its line, and for all inside it."""

    file: str
    line: int
    rules: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class NginxTree:
    """A parsed configuration: its tree, its comments for this linter, and what could not be read of it."""

    root: Directive
    ignores: tuple[IgnoreComment, ...] = ()
    unread: tuple[str, ...] = ()
    comment_lines: frozenset[tuple[str, int]] = frozenset()
