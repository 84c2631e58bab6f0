"""One SQLite file in WAL mode that survives its own corruption."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Final, TypeVar

from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock
from cakravia_verify.system.files import make_folder

T = TypeVar("T")
BUSY_SECONDS: Final = 5.0
COMPANIONS: Final = ("-wal", "-shm")
_CORRUPT: Final = ("malformed", "not a database", "corrupt")


class Durability(Enum):
    """What a committed transaction survives: the end of the process, or a power cut as well."""

    PROCESS = "NORMAL"
    POWER_CUT = "FULL"


class Database:
    """A SQLite file with a schema. A corrupt file gets another name, and an empty one takes its place.

    `set_aside` names the corrupt files that this object found. All methods may be called from any thread.
    """

    def __init__(self, path: Path, schema: str, *, durability: Durability, clock: Clock = SYSTEM_CLOCK) -> None:
        self.path = path
        self.set_aside: list[Path] = []
        self._schema = schema
        self._durability = durability
        self._clock = clock
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def transact(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run `action` in one transaction and return its result.

        A corrupt file is set aside, and `action` runs once more on an empty one. Raises sqlite3.Error for anything
        else, such as a full disk; then nothing of the transaction is kept.
        """
        with self._lock:
            try:
                return self._transact(action)
            except sqlite3.DatabaseError as error:
                if not is_corruption(error):
                    raise
                self._replace()
                return self._transact(action)

    def maintain(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run `action`, such as a pragma, outside of a transaction."""
        with self._lock:
            return action(self._opened())

    def close(self) -> None:
        """Close the file. The next transaction opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _transact(self, action: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = action(connection)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return result

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            make_folder(self.path.parent)
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                self.path.chmod(0o600)
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {self._durability.value}")
        connection.execute("PRAGMA cache_size = -2000")
        connection.execute("PRAGMA journal_size_limit = 4194304")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"database disk image is malformed: {verdict}")
        connection.executescript(self._schema)

    def _replace(self) -> None:
        """Give the corrupt file another name. Of earlier corrupt files the newest one stays."""
        self.close()
        stamp = int(self._clock.wall())
        for earlier in sorted(self.path.parent.glob(f"{self.path.name}.corrupt-*"))[:-1]:
            earlier.unlink(missing_ok=True)
        aside = self.path.with_name(f"{self.path.name}.corrupt-{stamp}")
        with contextlib.suppress(FileNotFoundError):
            self.path.replace(aside)
        for companion in COMPANIONS:
            self.path.with_name(self.path.name + companion).unlink(missing_ok=True)
        self.set_aside.append(aside)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection that cannot write. Raises sqlite3.OperationalError when there is no such file."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
    try:
        yield connection
    finally:
        connection.close()


def is_corruption(error: sqlite3.Error) -> bool:
    """Whether the file itself is damaged, in contrast to a full disk or a lock."""
    return any(word in str(error) for word in _CORRUPT)
