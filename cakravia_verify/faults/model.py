"""A fault, the place that it is injected at, and the moments of a release that it may come at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum

from cakravia_verify.errors import NothingToDo
from cakravia_verify.faults.heal_journal import HealJournal
from cakravia_verify.faults.tcp_proxy import Detour
from cakravia_verify.site.site import Site
from cakravia_verify.slots import Colour, Slot


class Moment(StrEnum):
    """When a fault comes: without a release, or before, during or after the switch of one."""

    STEADY = "steady"
    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


@dataclass(frozen=True)
class FaultPlace:
    """A site at the instant of a fault. `detours` are the programs between nginx and the slots, {} on a live site."""

    site: Site
    active: Slot
    standby: Slot | None
    journal: HealJournal
    detours: Mapping[Colour, Detour] = field(default_factory=dict)

    @property
    def other(self) -> Slot:
        """The slot that stands by. Raises NothingToDo without one."""
        if self.standby is None:
            raise NothingToDo("no slot stands by", remedy="release a second version, with [slots] keep_warm = true")
        return self.standby

    @property
    def detour(self) -> Detour:
        """What is between nginx and the active slot."""
        return self.detours[self.active.colour]


@dataclass(frozen=True)
class Fault:
    """One failure. `inject` makes it at its place and heals it on exit.

    `title` completes the sentence "What will my users see when ...?". A fault with `needs_detour` needs a program
    between nginx and the slots. `is_essential` faults are part of the complete suite.
    """

    name: str
    title: str
    inject: Callable[[FaultPlace], AbstractContextManager[None]]
    needs_detour: bool = False
    is_essential: bool = False
