"""Find the files that a version serves: follow its pages, and try the names that its artifact has."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from cakravia_verify.assets.references import BodyKind, kind_of, references

MOST_REQUESTS: Final = 20_000
# Folders that frameworks serve under a path of the same name. An empty name is the application's own folder.
_ROOTS: Final = (
    "",
    "public",
    "dist",
    "build",
    "out",
    "static",
    "www",
    "wwwroot",
    "public/build",
    "dist/client",
    "build/client",
    ".output/public",
    "/usr/share/nginx/html",
)


@dataclass(frozen=True)
class Fetched:
    """One good answer: its media type and its whole body."""

    media_type: str
    body: bytes


Fetch = Callable[[str], Fetched | None]
"""Returns the answer to a GET of a path with its query, None if it is not a complete 200."""


@dataclass(frozen=True)
class AssetPaths:
    """The beginnings of the paths that `[proxy] assets` names."""

    prefixes: tuple[str, ...]

    def has(self, path: str) -> bool:
        return path.startswith(self.prefixes) and ".." not in path.split("/") and not path.endswith("/")

    @property
    def folders(self) -> dict[str, str]:
        """The folders of an artifact that may hold these files, each with the URL path of its content."""
        found = {}
        for prefix in self.prefixes:
            path = prefix[: prefix.rindex("/") + 1]
            if path.startswith("/_next/"):
                found[f".next/{path.removeprefix('/_next/')}".rstrip("/")] = path
            if path != "/":
                found |= {f"{root}{path}".strip("/") if root[:1] != "/" else f"{root}{path}": path for root in _ROOTS}
        return found


def is_a_file(path: str, fetched: Fetched) -> bool:
    """Return False for a page in place of a file, as single-page applications answer for every unknown path."""
    return kind_of("", fetched.media_type) != BodyKind.HTML or path.endswith((".html", ".htm"))


def bare(path: str) -> str:
    """Return the path as nginx compares it with names of files: decoded and without a query."""
    return unquote(path.partition("?")[0])


def follow_pages(pages: Iterable[str], fetch: Fetch, *, most: int = MOST_REQUESTS) -> dict[str, Fetched]:
    """Return every page and every file of the same site that a page, script or style sheet among them names."""
    found: dict[str, Fetched] = {}
    waiting, known = deque(pages), set(pages)
    starts = frozenset(known)
    while waiting and len(known) <= most:
        path = waiting.popleft()
        fetched = fetch(path)
        if fetched is None or (path not in starts and not is_a_file(bare(path), fetched)):
            continue
        found[path] = fetched
        for each in references(path, kind=kind_of(path, fetched.media_type), body=fetched.body):
            if each not in known:
                known.add(each)
                waiting.append(each)
    return found


def find_assets(
    paths: AssetPaths, pages: Iterable[str], fetch: Fetch, *, names: Callable[[str], Iterable[str]]
) -> dict[str, bytes]:
    """Return the files that a version serves under these paths, by their bare path.

    `names` returns the names of all files below a folder of the artifact. A name alone is no proof: each is requested.
    """
    found = {bare(path): each.body for path, each in follow_pages(pages, fetch).items() if paths.has(bare(path))}
    for folder, url in paths.folders.items():
        for name in names(folder):
            path = url + name
            if path in found or not paths.has(path) or len(found) >= MOST_REQUESTS:
                continue
            fetched = fetch(quote(path))
            if fetched is not None and is_a_file(path, fetched):
                found[path] = fetched.body
    return found
