"""The order store: each order executed exactly once, in one SQLite file that both slots share.

A single thread owns the connection and commits whatever has gathered meanwhile in one transaction, so the event loop
never waits for the disk. The journal is a write-ahead log with `synchronous=NORMAL`: a committed order survives
kill -9 of this process (https://sqlite.org/wal.html).
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    number       INTEGER PRIMARY KEY,
    key          TEXT NOT NULL UNIQUE,
    body         BLOB NOT NULL,
    digest       TEXT NOT NULL,
    executions   INTEGER NOT NULL,
    presented    INTEGER NOT NULL,
    replacements INTEGER NOT NULL DEFAULT 0,
    deleted      INTEGER NOT NULL DEFAULT 0,
    slot         TEXT NOT NULL,
    version      TEXT NOT NULL,
    placed       TEXT NOT NULL
)
"""
_COLUMNS = "number, key, body, digest, executions, presented, replacements, deleted, slot, version, placed"
_INSERT = (
    "INSERT INTO orders (key, body, digest, executions, presented, slot, version, placed) VALUES (?,?,?,1,1,?,?,?)"
)
_PLACE = f"{_INSERT} ON CONFLICT (key) DO UPDATE SET presented = presented + 1 RETURNING {_COLUMNS}"
_PLACE_TWICE = (
    f"{_INSERT} ON CONFLICT (key) DO UPDATE SET presented = presented + 1, executions = executions + 1 "
    f"RETURNING {_COLUMNS}"
)
_REPLACE = (
    f"{_INSERT} ON CONFLICT (key) DO UPDATE SET body = excluded.body, digest = excluded.digest, deleted = 0, "
    f"replacements = replacements + (deleted OR digest <> excluded.digest) RETURNING {_COLUMNS}"
)
_FIND = f"SELECT {_COLUMNS} FROM orders WHERE key = ?"  # noqa: S608 - no foreign text in it
_DELETE = f"UPDATE orders SET deleted = 1 WHERE key = ? RETURNING {_COLUMNS}"  # noqa: S608
_COUNT = "SELECT count(*), coalesce(sum(executions), 0), coalesce(sum(presented), 0) FROM orders"
_REPEATED = "SELECT key FROM orders WHERE executions > 1 ORDER BY number LIMIT 100"
_BATCH = 256


class StoreUnavailable(Exception):  # noqa: N818 - reads aloud as what happened
    """The order store cannot be read or written; nothing of what was asked has happened."""


@dataclass(frozen=True)
class Order:
    """One order: executed is what happened, presented is how often a client asked for it."""

    number: int
    key: str
    body: bytes
    digest: str
    executions: int
    presented: int
    replacements: int
    deleted: int
    slot: str
    version: str
    placed: str

    @property
    def is_replay(self) -> bool:
        return self.presented > 1


@dataclass(frozen=True)
class OrderCount:
    """All orders together; `repeated` names (at most 100 of) those that were executed more than once."""

    orders: int
    executions: int
    presented: int
    repeated: list[str]


Work = Callable[[sqlite3.Connection], Any]


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work
    writes: bool
    future: asyncio.Future[Any]


class OrderStore:
    """Orders under their idempotency keys; every method raises StoreUnavailable."""

    def __init__(self, folder: Path, *, slot: str, version: str, executes_twice: bool = False) -> None:
        self._path = folder / "orders.sqlite3"
        self._origin = (slot, version)
        self._place = _PLACE_TWICE if executes_twice else _PLACE
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """The thread that owns the file runs, for callers in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="order-store", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Everything asked so far is committed and the file is closed, or 5 s have passed."""
        self._jobs.put(None)
        # Not joined in another thread: a process at its memory limit cannot start one.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while self._thread is not None and self._thread.is_alive():
                    await asyncio.sleep(0.002)

    async def place(self, key: str, body: bytes, digest: str) -> Order:
        """The order under `key`, executed now unless it was before; the first body stays."""
        row = (key, body, digest, *self._origin, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}")
        return Order(*await self._ask(lambda file: file.execute(self._place, row).fetchone()))

    async def replace(self, key: str, body: bytes, digest: str) -> Order:
        """The order under `key` has this body; doing it again changes nothing."""
        row = (key, body, digest, *self._origin, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}")
        return Order(*await self._ask(lambda file: file.execute(_REPLACE, row).fetchone()))

    async def delete(self, key: str) -> Order | None:
        """The order is marked as deleted; its key stays taken, so that a late repetition does not execute it again."""
        row = await self._ask(lambda file: file.execute(_DELETE, (key,)).fetchone())
        return Order(*row) if row else None

    async def find(self, key: str) -> Order | None:
        row = await self._ask(lambda file: file.execute(_FIND, (key,)).fetchone(), writes=False)
        return Order(*row) if row else None

    async def count(self) -> OrderCount:
        def work(file: sqlite3.Connection) -> tuple[int, int, int, list[str]]:
            orders, executions, presented = file.execute(_COUNT).fetchone()
            return orders, executions, presented, [key for (key,) in file.execute(_REPEATED)]

        return OrderCount(*await self._ask(work, writes=False))

    async def ping(self) -> None:
        """The file can be read and its write lock be taken."""
        await self._ask(lambda file: file.execute("SELECT 1 FROM orders LIMIT 1").fetchone())

    async def _ask(self, work: Work, *, writes: bool = True) -> Any:
        future: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.put(_Job(work, writes, future))
        return await future

    # Below: the owning thread.

    def _run(self) -> None:
        is_stopping = False
        while not is_stopping:
            batch, is_stopping = self._gather()
            outcomes = self._carry_out(batch) if batch else []
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_deliver, batch, outcomes)
        self._close()

    def _gather(self) -> tuple[list[_Job], bool]:
        """What has been asked meanwhile, at least one entry, and whether the end was asked for too."""
        entries = [self._jobs.get()]
        while len(entries) < _BATCH and not self._jobs.empty():
            entries.append(self._jobs.get())
        batch = [job for job in entries if job is not None]
        return batch, len(batch) < len(entries)

    def _carry_out(self, batch: list[_Job]) -> list[Any]:
        """One outcome for each job; all writes of a batch are committed together or not at all."""
        try:
            file = self._open()
            writes = any(job.writes for job in batch)
            if writes:
                file.execute("BEGIN IMMEDIATE")
            outcomes = [job.work(file) for job in batch]
            if writes:
                file.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self._close()
            return [StoreUnavailable(f"the order store {self._path.name} cannot be used: {error}")] * len(batch)
        return outcomes

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._path, timeout=5, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(_SCHEMA)
        return self._connection

    def _close(self) -> None:
        """The file is closed; an open transaction is rolled back by that."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _deliver(batch: list[_Job], outcomes: list[Any]) -> None:
    for job, outcome in zip(batch, outcomes, strict=True):
        if job.future.done():
            continue  # its request was cancelled meanwhile
        if isinstance(outcome, Exception):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)
