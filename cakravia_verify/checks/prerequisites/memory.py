"""The memory for two slots at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, problem, size_in_words, warning
from cakravia_verify.settings.section import size_in_bytes
from cakravia_verify.slots import Colour


def _find(ground: Ground) -> Iterator[CheckFinding]:
    settings = ground.settings
    if settings.site.platform == "docker":
        total = int(ground.engine.facts().get("MemTotal") or 0)
        available = None if ground.engine.is_remote else ground.machine.memory().available
        proxy = size_in_bytes(settings.docker.proxy_memory)
    else:
        memory = ground.machine.memory()
        total, available, proxy = memory.total, memory.available, 64 * 2**20
    one = settings.slots.memory_bytes
    needed = f"{size_in_words(2 * one + proxy)} for two slots of {settings.slots.memory_limit} and the proxy"
    if total and total < 2 * one + proxy:
        yield problem(
            f"the machine has {size_in_words(total)}",
            needed=needed,
            remedy="lower [slots] memory_limit to what the application needs, or use a larger machine",
        )
        return
    are_running = all(ground.site.platform.observe(colour) for colour in Colour)
    if available is not None and available < one and not are_running:
        yield warning(
            f"{size_in_words(available)} are available now",
            needed=f"{settings.slots.memory_limit} for the slot that the next release starts",
            remedy="see what uses the memory: ps aux --sort -rss | head",
        )
        return
    yield ok(f"{size_in_words(total)}; {needed}")


CHECK: Final = SiteCheck("memory", "The memory suffices for two slots at once", _find)
