"""The dead man's switch: a URL is called while all is well, so that an outside service notices when calls stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from cakravia_verify.errors import UsageError
from cakravia_verify.monitor.notify.channel import parts_of_url, redacted, secret_from
from cakravia_verify.settings.monitor import NotifySettings

TIMEOUT = 10.0


class AliveCalls(threading.Thread):
    """Call the URL every `alive_every` seconds while `is_well` is true."""

    def __init__(
        self, settings: NotifySettings, root: Path, *, is_well: Callable[[], bool], log: Callable[[str], None]
    ) -> None:
        super().__init__(name="alive", daemon=True)
        self._settings = settings
        self._root = root
        self._is_well = is_well
        self._log = log
        self._over = threading.Event()

    def stop(self) -> None:
        self._over.set()

    def run(self) -> None:
        while True:
            if self._is_well():
                self._call()
            if self._over.wait(self._settings.alive_every):
                return

    def _call(self) -> None:
        url = ""
        try:
            url = self._url()
            with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client, client.stream("GET", url) as answer:
                if answer.status_code >= 400:
                    self._log(f"{urlsplit(url).hostname} answered the alive call with status {answer.status_code}")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, UsageError) as error:
            self._log(redacted(f"the alive call failed: {type(error).__name__}: {error}", parts_of_url(url)))

    def _url(self) -> str:
        if self._settings.alive_url_file:
            return secret_from(self._root / self._settings.alive_url_file)
        return self._settings.alive_url
