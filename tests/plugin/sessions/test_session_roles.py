"""Real versions can read in their role file whether users are on them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import psutil

from cakravia_verify.slots import Colour
from cakravia_verify.system.processes import process_named
from tests.plugin.sessions.shop import Shop


class RoleWatch:
    """Reads both role files all the time, and keeps every pair of them that was seen."""

    def __init__(self, files: dict[Colour, Path]) -> None:
        self.files = files
        self.seen: set[tuple[str, ...]] = set()
        self._stop = threading.Event()

    def __enter__(self) -> RoleWatch:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def roles(self) -> tuple[str, ...]:
        return tuple(self.files[colour].read_text().strip() for colour in Colour)

    def _watch(self) -> None:
        while not self._stop.wait(0.004):
            self.seen.add(self.roles())


def role_files(shop: Shop) -> dict[Colour, Path]:
    """The role file of each slot, as its process was told."""
    state, files = shop.observe(), {}
    for colour in Colour:
        slot = state.slots.at(colour)
        process = process_named(slot.identity) if slot else None
        assert isinstance(process, psutil.Process)
        files[colour] = Path(process.environ()["DEPLOYMENT_ROLE_FILE"])
    return files


def test_never_two_versions_are_active_through_a_release_and_a_rollback(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop()
    for version in ("v1", "v2"):
        ended = shop.deploy(version)
        assert ended.status == 0, ended.output
    with RoleWatch(role_files(shop)) as watch:
        assert watch.roles() == ("inactive", "active")
        ended = shop.roll_back("--reason", "a test")
        assert ended.status == 0, ended.output
        assert watch.roles() == ("active", "inactive")
        ended = shop.deploy("v3")
        assert ended.status == 0, ended.output
        assert watch.roles() == ("inactive", "active")
    assert ("active", "active") not in watch.seen
