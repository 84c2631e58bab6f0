"""A Chromium that stays open, driven over its DevTools protocol."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.report.conftest import BROWSERS, QUIET


class Tab:
    """One page. `troubles` has everything that the page or the browser wrote to the console as an error."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._number = 0
        self.troubles: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=60))
            if message.get("id") == self._number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str, *, seconds: float = 30.0) -> None:
        limit = time.monotonic() + seconds
        while not self.value(f"!!({expression})"):
            assert time.monotonic() < limit, (expression, self.value("document.body.innerText"), self.troubles)
            time.sleep(0.05)

    def click(self, element: str) -> None:
        self.wait_for(f"document.getElementById({element!r})")
        self.value(f"document.getElementById({element!r}).click()")

    def _note(self, message: dict[str, Any]) -> None:
        method, facts = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.troubles.append(str(facts["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and facts["type"] in ("error", "assert"):
            self.troubles.append(str(facts["args"]))
        elif method == "Log.entryAdded" and facts["entry"]["level"] == "error":
            self.troubles.append(str(facts["entry"]))
        elif method == "Network.loadingFailed" and not facts.get("canceled"):
            self.troubles.append(str(facts))


class Chromium:
    """A browser process with its own profile."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stack = contextlib.ExitStack()

    def open(self, url: str) -> Tab:
        """Open the page in a new tab, and wait until it is loaded."""
        found = httpx.put(f"http://127.0.0.1:{self._port}/json/new?about:blank", trust_env=False, timeout=30).json()
        socket = self._stack.enter_context(connect(found["webSocketDebuggerUrl"], max_size=None, proxy=None))
        tab = Tab(socket)
        tab.call("Page.navigate", url=url)
        tab.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")
        return tab

    def close(self) -> None:
        self._stack.close()


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Chromium | None]:
    """Yield an open browser, None if there is no Chromium on this machine."""
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        yield None
        return
    command = [program, *QUIET, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            note, limit = profile / "DevToolsActivePort", time.monotonic() + 60
            while not note.exists() or not note.read_text().strip():
                assert time.monotonic() < limit, "Chromium opened no port for its DevTools"
                time.sleep(0.1)
            browser = Chromium(int(note.read_text().split()[0]))
            try:
                yield browser
            finally:
                browser.close()
        finally:
            process.terminate()
