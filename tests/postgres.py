"""A throw-away PostgreSQL server on a loopback port, run without root."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest

from tests.ports import free_ports

START_SECONDS = 60.0


def programs() -> Path:
    """Return the folder with `initdb` and `postgres`; Debian keeps it out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found += [Path(path).parent for path in (shutil.which("initdb"),) if path]
    return next((folder for folder in found if (folder / "postgres").exists()), None) or _unavailable()


def _unavailable() -> NoReturn:
    pytest.skip("PostgreSQL is not installed (Debian: postgresql-15)")


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Yield the URL of an empty database. Nothing is left afterwards."""
    folder, (port,) = Path(tempfile.mkdtemp(prefix="cakravia-postgres-")), free_ports(1)
    user = _server_user()
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    data, tools = folder / "data", programs()

    def run(name: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(tools / name), *arguments]
        ids = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        log = (folder / f"{name}.log").open("wb")
        with log:
            return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, **ids)  # type: ignore[call-overload, no-any-return]

    made = run("initdb", "-D", str(data), "-U", "orders", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
    assert made.wait(START_SECONDS) == 0, (folder / "initdb.log").read_text()
    options = ("-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-c", "fsync=off", "-c", "max_connections=200")
    server = run("postgres", "-D", str(data), *options)
    try:
        url = f"postgresql://orders@127.0.0.1:{port}/postgres"
        _await_answer(url, folder / "postgres.log")
        yield url
    finally:
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(5)
        shutil.rmtree(folder, ignore_errors=True)


def _server_user() -> pwd.struct_passwd | None:
    """Return the user that the server runs as: it refuses root. None if this process may run it."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        _unavailable()


def _await_answer(url: str, log: Path) -> None:
    limit = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert time.monotonic() < limit, log.read_text()
            time.sleep(0.1)
        else:
            return
