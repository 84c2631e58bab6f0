"""A pytest plugin: the slot that serves users stands still for a while once the candidate has started."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

SECONDS = 2.6


def pytest_cakravia_step(config: pytest.Config, event: Any) -> None:
    if (event.step, event.kind) == ("stage", "done"):
        gatekeeper: Any = config.pluginmanager.get_plugin("cakravia-gatekeeper")
        run = gatekeeper.run
        process = int(run.site.platform.observe(run.release.intent.active).identity.split("@")[0])
        os.kill(process, signal.SIGSTOP)
        threading.Timer(SECONDS, os.kill, (process, signal.SIGCONT)).start()
