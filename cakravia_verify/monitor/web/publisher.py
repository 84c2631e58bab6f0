"""The thread that writes the pages: every few seconds, and at once when something happened."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from cakravia_verify.errors import CakraviaError
from cakravia_verify.monitor.web import page
from cakravia_verify.monitor.web.doorbell import Doorbell
from cakravia_verify.monitor.web.making import SnapshotMaker
from cakravia_verify.monitor.web.page import DataWriter, PageLinks, page_of, public_page_of
from cakravia_verify.proxy.monitor_pages import has_pages, pages_folder
from cakravia_verify.settings.models import Settings
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock

EVERY: Final = 5.0
# Sending files to a container costs the engine and us more.
CONTAINER_EVERY: Final = 15.0
# Two changes within a moment become one page.
PAUSE: Final = 0.3


class PageFiles(Protocol):
    """Where nginx reads the pages."""

    def put(self, files: Mapping[str, bytes]) -> None:
        """Replace the files, each in one step. Raises OSError or CakraviaError."""
        ...


class LocalFiles:
    """A folder of this machine. A file that is the same stays untouched, so browsers need not load it again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[str, bytes] = {}

    def put(self, files: Mapping[str, bytes]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in files.items():
            path = self._folder / name
            if self._written.get(name) == content and path.exists():
                continue
            draft = self._folder / f".{name}.draft"
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            draft.replace(path)
            self._written[name] = content


class PagePublisher(threading.Thread):
    """Writes what `show` was given last. A disk or engine that refuses is told in the log, and tried again."""

    def __init__(
        self,
        settings: Settings,
        files: PageFiles,
        bell: Doorbell,
        *,
        every: float,
        log: Callable[[str], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name="pages", daemon=True)
        monitor = settings.monitor
        is_local = settings.site.platform == "process"
        self._site = settings.site.name
        self._links = PageLinks(
            events=page.EVENTS if monitor.listen and is_local else "",
            act=page.ACT if monitor.actions and is_local else "",
            reports=page.REPORTS if is_local else "",
        )
        self._page = page_of(self._site, self._links).encode()
        self._public_page = public_page_of(self._site).encode()
        self._monitor = monitor
        self._maker = SnapshotMaker(settings)
        self._writer = DataWriter(self._links)
        self._files = files
        self._bell = bell
        self._every = every
        self._log = log
        self._clock = clock
        self._state: Mapping[str, Any] = {}
        self._wake = threading.Event()
        self._over = threading.Event()
        self._problem = ""

    def show(self, state: Mapping[str, Any], *, at_once: bool) -> None:
        """Take a new state. What happened is written at once; the rest waits for its turn."""
        self._state = state
        if at_once:
            self._wake.set()

    def stop(self) -> None:
        self._over.set()
        self._wake.set()

    def run(self) -> None:
        while not self._over.is_set():
            self._wake.wait(self._every)
            self._wake.clear()
            if self._state and not self._over.is_set():
                self.write()
            self._over.wait(PAUSE)

    def write(self) -> None:
        """Write the pages now."""
        problem = ""
        try:
            self._files.put(self._made())
            self._bell.ring()
        except CakraviaError as error:
            problem = error.message
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        if problem != self._problem:
            self._log(f"pages: {problem or 'written again'}")
        self._problem = problem

    def _made(self) -> dict[str, bytes]:
        snapshot = self._maker.make(self._state, now=self._clock.wall(), every=self._every)
        files: dict[str, bytes] = {}
        if self._monitor.password:
            files[page.PAGE] = self._page
            files[page.DATA] = self._writer.private(snapshot)
            files[page.FACTS] = self._writer.facts(snapshot)
        if self._monitor.public:
            files[page.PUBLIC_PAGE] = self._public_page
            files[page.PUBLIC_DATA] = self._writer.public(snapshot)
        return files


def open_publisher(settings: Settings, bell: Doorbell, *, log: Callable[[str], None]) -> PagePublisher | None:
    """Return the publisher, None when the settings open no page."""
    if not has_pages(settings.monitor):
        return None
    files, every = _files_of(settings)
    return PagePublisher(settings, files, bell, every=every, log=log)


def _files_of(settings: Settings) -> tuple[PageFiles, float]:
    if settings.site.platform != "docker":
        return LocalFiles(pages_folder(settings)), EVERY
    from cakravia_verify.platforms.docker.engine.engine import Engine
    from cakravia_verify.platforms.docker.proxy.pages import VolumePages

    docker = settings.docker
    engine = Engine(docker.host, api_version=docker.api_version, patience=0.0)
    container = f"{docker.project or settings.site.name}-nginx"
    return VolumePages(engine, container, site=settings.site.name), CONTAINER_EVERY
