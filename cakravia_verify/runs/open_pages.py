"""Pages that the traffic holds open: loaded before the switch, and asked for every one of their files after it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import httpx

from cakravia_verify.analysis.model import Measurement
from cakravia_verify.assets.finding import Fetched, bare, follow_pages, is_a_file
from cakravia_verify.assets.references import BodyKind, kind_of
from cakravia_verify.errors import ReleaseError
from cakravia_verify.release.machine import Release
from cakravia_verify.runs.user_client import user_client, user_transport
from cakravia_verify.traffic.plan.plan import TrafficPlan

MOST_PAGES: Final = 20
MOST_FILES_OF_A_PAGE: Final = 300


class _NoAnswer(Exception):  # noqa: N818 - it says what was seen
    """A request got no answer, or no whole one."""


@dataclass
class OpenPage:
    """A page as a browser holds it: its path, the files that it loaded well, and its cookies.

    `broken` has the files that did not come any more after a switch, each with the reason.
    """

    path: str
    files: tuple[str, ...]
    cookies: httpx.Cookies
    broken: dict[str, str] = field(default_factory=dict)


class OpenPages:
    """The open pages of one run. Every request is sent once, as a browser of a user sends it.

    `visited` says whether the files were asked for after a switch.
    """

    def __init__(self, plan: TrafficPlan, *, transport: Callable[[], httpx.BaseTransport] | None = None) -> None:
        self._plan = plan
        self._transport = transport or user_transport
        self.pages: list[OpenPage] = []
        self.visited = False
        self._switches = 0

    def require_whole(self, release: Release) -> None:
        """Ask for the files of all pages, once after each switch. Raises ReleaseError if too many pages miss some.

        Then open the pages of the candidate as well: a rollback must not break those. A rollback is never stopped.
        """
        switches = len(release.facts.switchovers)
        if self._switches == switches:
            return
        self._switches = switches
        self.visit()
        if (self.broken or 0) > release.site.settings.budget.broken_pages and not release.intent.policy.goes_back:
            raise ReleaseError(
                f"the switch broke {self.broken} of {self.count} open pages: {self.examples[0]}",
                remedy="name the paths of hashed files in [proxy] assets (docs/PROXY.md)",
            )
        self.load()

    def added_to(self, measurement: Measurement, release: Release) -> Measurement:
        """Return the measurement with a last look at the pages. After a signal there is no time for one."""
        if not self.count:
            return measurement
        if release.facts.switchovers and release.shutdown_deadline is None:
            self.visit()
        return replace(
            measurement,
            measured=replace(measurement.measured, open_pages=self.count, broken_pages=self.broken),
            findings=(*measurement.findings, *self.examples),
        )

    def load(self) -> None:
        """Open every page of the mix, with all files that it names. What is no page of HTML is left out.

        The first request without an answer ends this: each other one would take as long.
        """
        with contextlib.suppress(_NoAnswer):
            for path in paths_of(self._plan):
                with self._browser(httpx.Cookies()) as browser:
                    found = follow_pages([path], lambda each: _get(browser, each)[0], most=MOST_FILES_OF_A_PAGE)
                    page = found.pop(path, None)
                    if page is not None and kind_of("", page.media_type) is BodyKind.HTML:
                        self.pages.append(OpenPage(path, tuple(found), httpx.Cookies(browser.cookies)))

    def visit(self) -> None:
        """Ask for every file of every page. A page whose file did not come before stays broken.

        The first request without an answer ends this: each other one would take as long.
        """
        self.visited = True
        for page in self.pages:
            with self._browser(page.cookies) as browser:
                for path in page.files:
                    try:
                        fetched, why = _get(browser, path)
                    except _NoAnswer as error:
                        page.broken.setdefault(path, str(error))
                        return
                    if fetched is not None and not is_a_file(bare(path), fetched):
                        why = f"a page ({fetched.media_type}) in place of the file"
                    if why:
                        page.broken.setdefault(path, why)

    @property
    def count(self) -> int:
        return len(self.pages)

    @property
    def broken(self) -> int | None:
        """How many pages miss a file; None before the first visit."""
        return sum(bool(page.broken) for page in self.pages) if self.visited else None

    @property
    def examples(self) -> Sequence[str]:
        """Return one sentence for each broken page."""
        lines = []
        for page in self.pages:
            if page.broken:
                path, why = next(iter(page.broken.items()))
                lines.append(
                    f"the open page {page.path} misses {len(page.broken)} of {len(page.files)} files: {path}: {why}"
                )
        return lines

    def _browser(self, cookies: httpx.Cookies) -> httpx.Client:
        return user_client(self._plan, transport=self._transport(), cookies=cookies)


def paths_of(plan: TrafficPlan) -> tuple[str, ...]:
    """Return the paths of the mix that may be pages, each once."""
    requests = [each for entry in plan.mix if not entry.stream for each in (entry, *entry.steps)]
    paths = (each.path for each in requests if each.method == "GET" and "{" not in each.path)
    return tuple(dict.fromkeys(paths))[:MOST_PAGES]


def _get(browser: httpx.Client, path: str) -> tuple[Fetched | None, str]:
    """Return the answer, or why it is no good one. Raises _NoAnswer."""
    try:
        answer = browser.get(path)
    except (httpx.HTTPError, ValueError) as error:
        raise _NoAnswer(f"no answer: {type(error).__name__}") from error
    if answer.status_code != 200:
        return None, f"status {answer.status_code}"
    return Fetched(answer.headers.get("content-type", ""), answer.content), ""
