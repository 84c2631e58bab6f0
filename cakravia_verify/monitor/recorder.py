"""The thread that stores samples and prunes; a disk that refuses holds samples back, and nothing else."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import Final

from cakravia_verify.monitor.sampling.source import Board
from cakravia_verify.monitor.store.sample_store import SampleStore

EVERY: Final = 10.0
PRUNE_EVERY: Final = 600.0


class SampleRecorder(threading.Thread):
    """Moves samples from the board to the store. `trouble` says why it cannot, '' when it can."""

    def __init__(self, board: Board, store: SampleStore, *, log: Callable[[str], None]) -> None:
        super().__init__(name="recorder", daemon=True)
        self._board = board
        self._store = store
        self._log = log
        self._over = threading.Event()
        self._pruned_at = 0.0
        self._told = 0
        self.trouble = ""

    def stop(self) -> None:
        """Store what is left, and end."""
        self._over.set()

    def run(self) -> None:
        while not self._over.wait(EVERY):
            self.record()
        self.record()
        self._store.close()

    def record(self) -> None:
        """Store what the board holds, and prune when it is time."""
        samples = self._board.take_samples()
        try:
            self._store.add(samples)
            samples = []
            now = self._board.clock.monotonic()
            if now - self._pruned_at >= PRUNE_EVERY or not self._pruned_at:
                self._pruned_at = now
                self._store.prune()
        except (sqlite3.Error, OSError) as error:
            self._board.keep(samples)
            self._set_trouble(f"samples cannot be stored: {error}")
        else:
            self._set_trouble("")
        for path in self._store.set_aside[self._told :]:
            self._log(f"the stored samples were corrupt; they are set aside as {path}")
        self._told = len(self._store.set_aside)

    def _set_trouble(self, trouble: str) -> None:
        if trouble != self.trouble:
            self._log(trouble or "samples are stored again")
        self.trouble = trouble
