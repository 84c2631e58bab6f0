"""The worker processes of the nginx in the container, and their replacement by a reload."""

from __future__ import annotations

import re
from typing import Final

from cakravia_verify.errors import ProxyError
from cakravia_verify.platforms.docker.proxy.flags import VolumeFlags
from cakravia_verify.system.clock import Deadline, poll

PID_FILE: Final = "/tmp/nginx.pid"  # noqa: S108 - the container's own
# A working worker reacts to a signal at once. A worker that has not reacted after this time is hung.
HUNG_SECONDS: Final = 5.0
# The title of a worker. The brackets keep grep from matching its own command line.
WORKERS: Final = "grep -sl 'nginx: worker [p]rocess' /proc/[0-9]*/cmdline"
SHUTTING_DOWN: Final = "grep -sl 'is shutting [d]own' /proc/[0-9]*/cmdline"


class NginxWorkers:
    """The workers of the proxy's container. `count` is the number in one generation."""

    def __init__(self, volume: VolumeFlags, *, count: int) -> None:
        self._volume = volume
        self._count = count

    def accepting(self) -> list[str]:
        """Return the process ids of workers that accept connections."""
        _, found = self._volume.run(f"{WORKERS}; echo -; {SHUTTING_DOWN}")
        workers, _, leaving = found.partition("-")
        return sorted(set(_pids(workers)) - set(_pids(leaving)))

    def fullest(self) -> int | None:
        """Return the most files that a worker has open: its connections and few others. None if it is unknown."""
        _, found = self._volume.run(f"for f in $({WORKERS}); do ls ${{f%cmdline}}fd | wc -l; done")
        return max((int(count) for count in found.split() if count.isdigit()), default=None)

    def signal(self, name: str) -> None:
        """Send nginx's master a signal. Raises ProxyError.

        It comes from inside. A container that gets a signal from the engine counts as stopped by hand there (moby
        20.10, daemon/kill.go), and the engine does not start it again after a restart of its own.
        """
        status, output = self._volume.run(f"kill -{name} $(cat {PID_FILE})")
        if status != 0:
            raise ProxyError(
                f"nginx cannot be sent the signal {name}: {output.strip()[:300]}",
                remedy="see what the proxy logged: cakravia logs proxy",
            )

    def replace(self, *, deadline: Deadline) -> None:
        """Reload nginx and wait until new workers accept all connections. Hung old workers are killed."""
        before = set(self.accepting())
        self.signal("HUP")
        grace = Deadline("old workers stop accepting", min(HUNG_SECONDS, deadline.remaining / 2), clock=deadline.clock)

        def is_replaced() -> bool:
            accepting = set(self.accepting())
            old = accepting & before
            has_new_generation = len(accepting - before) >= self._count
            if has_new_generation and old and grace.is_over:
                self._volume.run(f"kill -KILL {' '.join(old)}")
                return False
            return has_new_generation and not old

        poll(is_replaced, deadline=deadline, every=0.01, observed=lambda: "no new worker processes after the reload")


def _pids(text: str) -> list[str]:
    return re.findall(r"/proc/([0-9]+)/cmdline", text)
