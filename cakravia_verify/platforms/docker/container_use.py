"""What the processes of a container use, by the statistics of its engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.system.resources import SlotUse

if TYPE_CHECKING:
    from docker.models.containers import Container


def use_in(engine: Engine, container: Container) -> SlotUse | None:
    """Return memory and threads of the container, None if it has ended. Descriptors are not known from outside."""
    stats: Any = engine.ask(
        f"reading the statistics of {container.name}",
        lambda: engine.client.api.stats(str(container.id), stream=False, one_shot=True),
    )
    memory = stats.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    # Pages of files can be given back at any time: `docker stats` leaves them out as well.
    used = int(memory["usage"]) - int((memory.get("stats") or {}).get("inactive_file", 0))
    threads = (stats.get("pids_stats") or {}).get("current")
    return SlotUse(used, None if threads is None else int(threads))
