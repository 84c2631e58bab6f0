"""Which files of a source folder belong to no version: the rules of .gitignore and .cakraviaignore."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, TypeAlias

from cakravia_verify.errors import UsageError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

GITIGNORE: Final = ".gitignore"
OWN_FILE: Final = ".cakraviaignore"
_Rules: TypeAlias = "tuple[PurePosixPath, GitIgnoreSpec]"


@dataclass(frozen=True)
class IgnoreRules:
    """The rules that hold in one folder. `.cakraviaignore` of the source folder wins, then the deepest `.gitignore`."""

    own: GitIgnoreSpec
    of_git: tuple[_Rules, ...] = ()

    @classmethod
    def of(cls, source: Path) -> IgnoreRules:
        """Return the rules for the source folder itself. Raises UsageError if a file of rules is wrong."""
        from pathspec import GitIgnoreSpec  # slow to import

        return cls(_read(source / OWN_FILE) or GitIgnoreSpec([])).within(source, name=PurePosixPath())

    def within(self, folder: Path, *, name: PurePosixPath) -> IgnoreRules:
        """Return the rules for `folder`, which has this name relative to the source folder."""
        found = _read(folder / GITIGNORE)
        return self if found is None else replace(self, of_git=((name, found), *self.of_git))

    def name(self, path: PurePosixPath, *, is_folder: bool) -> bool:
        """Return whether the rules name this path, relative to the source folder."""
        end = "/" if is_folder else ""
        decided = self.own.check_file(f"{path}{end}").include
        for place, rules in self.of_git:
            if decided is not None:
                break
            decided = rules.check_file(f"{path.relative_to(place)}{end}").include
        return bool(decided)


def _read(path: Path) -> GitIgnoreSpec | None:
    from pathspec import GitIgnoreSpec

    if not path.is_file():
        return None
    try:
        return GitIgnoreSpec.from_lines(path.read_text(encoding="utf-8", errors="surrogateescape").splitlines())
    except ValueError as error:
        raise UsageError(f"{path}: {error}", remedy="correct that line; it has the form of a .gitignore") from error
