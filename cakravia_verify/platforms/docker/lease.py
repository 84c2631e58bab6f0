"""The lease of a site on its engine, for all machines and state folders that release to it.

The holder has a small container. The engine gives its name out once, so taking the lease is one atomic act. The
container ends by itself if its holder does not give a sign of life for EXPIRY seconds, by the engine's own clock.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cakravia_verify.errors import LockHeld, PlatformError, SiteLost
from cakravia_verify.history.lease import Lease, Taken
from cakravia_verify.history.shared_copy import reconciled
from cakravia_verify.platforms.docker import containers
from cakravia_verify.platforms.docker.engine.engine import SITE_LABEL, Engine
from cakravia_verify.platforms.docker.engine.files import ArchiveEntry, fetch, send, size_of
from cakravia_verify.platforms.docker.lease_shell import LeaseShell
from cakravia_verify.platforms.docker.proxy.flags import ROOT
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock
from cakravia_verify.system.files import write_atomically

if TYPE_CHECKING:
    from docker.models.containers import Container

LEASE_LABEL: Final = "cakravia.lease"
EXPIRY: Final = 30
BEAT_EVERY: Final = 5.0
UID: Final = 10102
FOLDER: Final = f"{ROOT}/history"
SHARED: Final = f"{FOLDER}/deployment-history.log"
TOKEN: Final = f"{FOLDER}/token"
BEAT: Final = "/tmp/beat"  # noqa: S108 - the container's own
HOLD: Final = (
    f"n=0; while [ $n -lt {EXPIRY} ]; do sleep 1; if [ -e {BEAT} ]; then rm {BEAT}; n=0; else n=$((n+1)); fi; done; "
    "exit 1"
)
EXPIRED: Final = 1
PIECE: Final = 48 * 1024
# What an engine says if it cannot hold a lease, and what is told then.
NO_LEASE: Final = {
    "no space left on device": "the engine's disk is full",
    "executable file not found": "the proxy's image has no shell",
    'exec: "sh"': "the proxy's image has no shell",
}


class EngineLease:
    """The container `<project>-lease`, and the history in the proxy's volume, which only its holder writes.

    `image` returns the image to run; it has a shell. `local` is the history of this state folder. On an engine with a
    full disk nothing can be created. A release goes on without the lease then, and says so.
    """

    def __init__(
        self,
        engine: Engine,
        project: str,
        site: str,
        *,
        image: Callable[[], str],
        local: Path,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._engine = engine
        self._project = project
        self._name = f"{project}-lease"
        self._volume = f"{project}-proxy"
        self._site = site
        self._image = image
        self._local = local
        self._clock = clock
        self._busy = threading.Lock()
        self._ended = threading.Event()
        self._id = ""
        self._shell = LeaseShell(engine, self._name, clock=clock)
        self._shared_size: int | None = None

    def take(self, lease: Lease) -> Taken:
        dead = self._make_way()
        try:
            container = self._created(lease)
            if container is None:
                raise self._held()
            self._id = str(container.id)
            self._shell.enter(self._id)
            send(self._engine, container, ROOT, [ArchiveEntry("history", mode=0o700, uid=UID, gid=UID)])
            self._engine.ask(f"starting {self._name}", container.start)
            taken = replace(lease, token=self._next_token(lease.token))
            notices = self._bring_together()
        except PlatformError as error:
            self.release()
            reason = next((why for words, why in NO_LEASE.items() if words in error.message.lower()), "")
            if not reason:
                raise
            notice = f"{reason}, so the lease of the site was not taken there: another machine can release meanwhile"
            return Taken(lease, dead, (notice,))
        except BaseException:
            self.release()
            raise
        self._ended.clear()
        threading.Thread(target=self._beat, args=(self._id,), name="lease", daemon=True).start()
        return Taken(taken, dead, notices)

    def holder(self) -> Lease | None:
        container = self._engine.ours(self._name, site=self._site)
        return _lease_in(container) if container is not None and self._is_held(container) else None

    def lag(self) -> str:
        proxy = self._engine.ours(f"{self._project}-nginx", site=self._site)
        here = self._local.stat().st_size if self._local.exists() else 0
        if self._id or proxy is None or size_of(self._engine, proxy, SHARED) <= here:
            return ""
        return "the history in this state folder lags behind the site's; cakravia recover brings it up to date"

    def release(self) -> None:
        self._ended.set()
        with self._busy:
            self._shell.close()
            self._shared_size = None
            mine, self._id = self._id, ""
            if mine and (container := self._engine.container(mine)) is not None:
                containers.remove(self._engine, container)

    def require_held(self) -> None:
        self._shell.require_there()

    def push(self) -> None:
        self.require_held()
        if not self._id:
            return
        with self._busy, self._local.open("rb") as local:
            size, whole = self._size(), local.seek(0, os.SEEK_END)
            while size < whole:
                local.seek(size)
                size = self._appended(local.read(PIECE), to=size)
                if size < 0:
                    return  # the engine's disk is full: what is missing follows with a later entry

    def _appended(self, piece: bytes, *, to: int) -> int:
        """Append the piece to the shared copy of `to` bytes. Returns the new size, -1 if the disk refuses it.

        A line whose answer was lost is sent again, so it asks for the size first.
        """
        text = base64.b64encode(piece).decode()
        status, _ = self._shell.run(f'test "$(wc -c < {SHARED})" -eq {to} && printf %s {text} | base64 -d >> {SHARED}')
        self._shared_size = to + len(piece) if status == 0 else None
        return size if (size := self._size()) > to else -1

    # Taking it.

    def _make_way(self) -> Lease | None:
        """Remove the container of a dead holder, and return its lease. Raises LockHeld if the holder lives."""
        container = self._engine.ours(self._name, site=self._site)
        if container is None:
            return None
        if self._is_held(container):
            raise self._held()
        containers.remove(self._engine, container)
        return _lease_in(container)

    def _is_held(self, container: Container) -> bool:
        """Return whether the holder of that container lives, as far as anybody can know."""
        lease, state = _lease_in(container), container.attrs["State"]
        if lease.is_here:
            return not lease.has_surely_ended
        if state["Running"]:
            return True
        if state["Status"] != "created" and state["ExitCode"] == EXPIRED:
            return False
        # It has just been created, or the engine has restarted: the holder may start it in a moment.
        since = container.attrs["Created"] if state["Status"] == "created" else state["FinishedAt"]
        return _instant(str(self._engine.facts()["SystemTime"])) - _instant(str(since)) < EXPIRY

    def _held(self) -> LockHeld:
        holder = None
        with contextlib.suppress(PlatformError):
            if (container := self._engine.ours(self._name, site=self._site)) is not None:
                holder = _lease_in(container)
        return LockHeld(
            f"another release holds this site on its engine: {holder or 'it has ended just now'}",
            remedy="wait until it ends (a release takes --wait 60), or stop that process: the next command then "
            f"finishes or undoes its release. A machine that died is given {EXPIRY} s",
        )

    def _created(self, lease: Lease) -> Container | None:
        """Create the container, and return it. None if another process was faster."""
        from docker.errors import APIError

        api, image = self._engine.client.api, self._image()
        host = api.create_host_config(
            read_only=True,
            network_mode="none",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            mem_limit=64 * 2**20,
            pids_limit=64,
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=64k,mode=1777"},  # noqa: S108 - the container's own
            binds=[f"{self._volume}:{ROOT}:rw"],
        )

        def created() -> str | None:
            try:
                made = api.create_container(
                    image,
                    entrypoint=["sh", "-c", HOLD],
                    user=f"{UID}:{UID}",
                    name=self._name,
                    detach=True,
                    labels={**containers.NO_PROJECT, SITE_LABEL: self._site, LEASE_LABEL: json.dumps(asdict(lease))},
                    stop_signal="SIGKILL",
                    healthcheck={"test": ["NONE"]},
                    host_config=host,
                )
            except APIError as error:
                if error.status_code == 409:
                    return None
                raise
            return str(made["Id"])

        found = self._engine.ask(f"creating {self._name}", created, again=False)
        return self._engine.container(found) if found else None

    def _next_token(self, least: int) -> int:
        with self._busy:
            _, known = self._shell.run(f"cat {TOKEN} 2>/dev/null")
            token = max(least, int(known) + 1 if known.isdigit() else 0)
            self._shell.run(f"echo {token} > {TOKEN}.new && mv {TOKEN}.new {TOKEN}")
        return token

    def _bring_together(self) -> tuple[str, ...]:
        """Give this state folder and the engine the same history. Returns a line if they differed."""
        local = self._local.read_bytes() if self._local.exists() else b""
        container = self._engine.container(self._id)
        shared = (fetch(self._engine, container, SHARED) if container else None) or b""
        result = reconciled(local, shared)
        if result.displaced:
            kept = self._local.with_name(f"{self._local.name}.displaced-{self._clock.wall():.0f}")
            write_atomically(kept, result.displaced)
            result = replace(result, notice=f"{result.notice}; those are kept in {kept}")
        if result.content != local:
            write_atomically(self._local, result.content)
        if not result.content.startswith(shared):
            with self._busy:
                self._shell.run(f"true > {SHARED}")
                self._shared_size = None
        if result.content:
            self.push()
        return (result.notice,) if result.notice else ()

    # Holding it.

    def _beat(self, mine: str) -> None:
        """Give a sign of life until the lease is released or lost."""
        while not self._ended.wait(BEAT_EVERY):
            with self._busy:
                if self._ended.is_set() or self._id != mine:
                    return
                try:
                    self._shell.run(f"true > {BEAT}", patience=0.0)
                except SiteLost:
                    return
                except Exception:  # noqa: S112 - the engine is away; the next sign may reach it
                    continue

    def _size(self) -> int:
        if self._shared_size is None:
            _, text = self._shell.run(f"touch {SHARED} && wc -c < {SHARED}")
            self._shared_size = int(text) if text.strip().isdigit() else 0
        return self._shared_size


def _lease_in(container: Container) -> Lease:
    """Return the lease that the container's label describes."""
    try:
        return Lease(**json.loads(container.labels[LEASE_LABEL]))
    except (KeyError, ValueError, TypeError):
        since = str(container.attrs.get("Created", ""))
        return Lease("unknown", 0, "unknown", "", since, f"container {container.name}", 0)


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
