"""The two slots, and the facts about them: pure values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from cakravia_verify.errors import SettingsError

VERSION_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")


class Colour(StrEnum):
    """One of the two slots."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> Colour:
        return Colour.GREEN if self is Colour.BLUE else Colour.BLUE


class Role(StrEnum):
    """What a slot is told in its role file: whether users are on it."""

    ACTIVE = "active"
    INACTIVE = "inactive"

    @classmethod
    def of(cls, colour: Colour, active: Colour | None) -> Role:
        return cls.ACTIVE if colour is active else cls.INACTIVE

    @property
    def line(self) -> bytes:
        """The content of the file."""
        return f"{self}\n".encode()


@dataclass(frozen=True)
class Address:
    """A host and a TCP port. An IPv6 address has no brackets in `host`, and has them in all texts."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self}"

    @property
    def of_this_machine(self) -> Address:
        """The address at which this machine reaches a listener on all its addresses."""
        return Address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host), self.port)  # noqa: S104


@dataclass(frozen=True)
class Artifact:
    """One exact build of a version. The digest is its identity."""

    version: str
    digest: str
    location: str


@dataclass(frozen=True)
class Slot:
    """A slot with a running version, as the platform observes it.

    `identity` changes with every new process or container. `started_at` is in seconds since 1970. `address` is the
    address for probes.
    """

    colour: Colour
    version: str
    digest: str
    release: str
    address: Address
    identity: str
    started_at: float

    def __str__(self) -> str:
        return f"{self.colour} ({self.version})"


@dataclass(frozen=True)
class SlotPair:
    """Both slots. `active` is None on a site without a release. Either slot may be empty."""

    active_colour: Colour | None
    blue: Slot | None
    green: Slot | None

    def at(self, colour: Colour) -> Slot | None:
        return self.blue if colour is Colour.BLUE else self.green

    @property
    def active(self) -> Slot | None:
        return self.at(self.active_colour) if self.active_colour else None

    @property
    def idle_colour(self) -> Colour:
        return self.active_colour.other if self.active_colour else Colour.BLUE

    @property
    def idle(self) -> Slot | None:
        return self.at(self.idle_colour)


def checked_version(text: str) -> str:
    """Return `text` if it is a valid version name. Raises SettingsError.

    File names, image tags, environment variables and pages contain the version. So the allowed characters are those
    of an OCI image tag, plus `+`.
    """
    if not VERSION_PATTERN.fullmatch(text):
        shown = text if len(text) <= 60 else f"{text[:57]}... ({len(text)} characters)"
        raise SettingsError(
            f"{shown!r} is not a version",
            remedy="use letters, digits, '.', '_', '+' and '-'; begin with a letter or digit; use at most 128 "
            "characters. Example: v1.2.0",
        )
    return text
