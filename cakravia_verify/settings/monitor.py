"""The sections [monitor] and [notify]: what is watched, when an alert fires, and where messages go."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from cakravia_verify.settings.section import Section, address_of
from cakravia_verify.slots import Address

Clock24 = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
HttpUrl = Annotated[str, Field(pattern=r"^(https?://[^\s/]+[^\s]*)?$")]
# How `vantage` names an address that is asked by a connection.
HOST_AND_PORT = re.compile(r"^[^\s:;{}/]+:[0-9]{1,5}$")
_SCHEMES = {
    "webhook": ("http", "https"),
    "ntfy": ("http", "https"),
    "smtp": ("smtp", "smtps"),
}


class MaintenanceWindow(Section):
    """A time of the week in UTC during which no alert is sent. A window may reach past midnight."""

    days: Annotated[tuple[Day, ...], Field(min_length=1, strict=False)] = DAYS  # type: ignore[assignment]
    start: Clock24
    end: Clock24


class MonitorSettings(Section):
    """What `cakravia monitor` watches and when an alert fires. Times in seconds, shares from 0 to 1."""

    interval: Annotated[float, Field(ge=0.2, le=300)] = 2.0
    timeout: Annotated[float, Field(gt=0, le=60)] = 2.0
    down: Annotated[int, Field(ge=1, le=100)] = 2
    up: Annotated[int, Field(ge=1, le=1000)] = 5
    url: HttpUrl = ""
    vantage: Annotated[tuple[str, ...], Field(strict=False)] = ("gateway",)
    remind: Annotated[float, Field(ge=60, le=604_800)] = 14_400.0
    objective: Annotated[float, Field(ge=0.5, lt=1)] = 0.999
    disk: Annotated[float, Field(gt=0, le=1)] = 0.9
    memory: Annotated[float, Field(gt=0, le=1)] = 0.9
    certificate_days: Annotated[float, Field(ge=0, le=365)] = 14.0
    max_size: Annotated[str, Field(pattern=r"^[0-9]{1,15}[KMG]?$")] = "95M"
    raw_days: Annotated[float, Field(gt=0, le=30)] = 2.0
    minute_days: Annotated[float, Field(gt=0, le=366)] = 30.0
    hour_days: Annotated[float, Field(gt=0, le=3660)] = 732.0
    maintenance: Annotated[tuple[MaintenanceWindow, ...], Field(strict=False)] = ()
    password: Annotated[str, Field(pattern=r"^(\{SSHA\}[A-Za-z0-9+/]{32,200}={0,2})?$")] = ""
    public: bool = False
    listen: Annotated[str, Field(pattern=r"^((127\.[0-9.]{5,11}|localhost):[0-9]{1,5})?$")] = ""
    actions: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")] = ""

    @property
    def listen_address(self) -> Address | None:
        """Where the monitor itself listens, None for nowhere."""
        return address_of(self.listen) if self.listen else None

    @model_validator(mode="after")
    def _what_listens_is_guarded(self) -> MonitorSettings:
        if self.listen and not self.password:
            raise ValueError("listen needs a password: make one with cakravia monitor password")
        if self.listen and not 1 <= address_of(self.listen).port <= 65_535:
            raise ValueError(f"listen {self.listen!r}: the port is not between 1 and 65535")
        if self.actions and not self.listen:
            raise ValueError("actions needs listen: the running monitor carries them out")
        return self

    @model_validator(mode="after")
    def _vantages_are_addresses(self) -> MonitorSettings:
        for place in self.vantage:
            is_url = place.startswith(("http://", "https://"))
            if place != "gateway" and not is_url and not HOST_AND_PORT.match(place):
                raise ValueError(f'vantage {place!r} is neither "gateway" nor a URL nor host:port')
        return self


class ChannelSettings(Section):
    """One place that messages go to. A secret stands in a file, never in cakravia.toml."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
    kind: Literal["webhook", "smtp", "ntfy", "command", "apprise"]
    url: str = ""
    url_file: str = ""
    secret_file: str = ""
    sender: str = ""
    to: Annotated[tuple[str, ...], Field(strict=False)] = ()
    command: Annotated[tuple[str, ...], Field(strict=False)] = ()
    least: Literal["info", "warning", "page"] = "warning"
    timeout: Annotated[float, Field(gt=0, le=300)] = 10.0

    @model_validator(mode="after")
    def _kind_has_what_it_needs(self) -> ChannelSettings:
        if self.kind == "command":
            if not self.command or self.url or self.url_file:
                raise ValueError(f"channel {self.name}: a command needs `command`, and no url")
            return self
        if bool(self.url) == bool(self.url_file):
            raise ValueError(f"channel {self.name}: {self.kind} needs either url or url_file")
        schemes = _SCHEMES.get(self.kind, ())
        if self.url and schemes and urlsplit(self.url).scheme not in schemes:
            raise ValueError(f"channel {self.name}: the url of {self.kind} begins with {' or '.join(schemes)}://")
        if self.url and urlsplit(self.url).password:
            raise ValueError(f"channel {self.name}: a password belongs into secret_file or url_file")
        if self.kind == "smtp" and not (self.sender and self.to):
            raise ValueError(f"channel {self.name}: smtp needs sender and to")
        return self


class NotifySettings(Section):
    """Where messages of the monitor and of releases go.

    The dead man's switch is a URL that is called while all is well.
    """

    channels: Annotated[tuple[ChannelSettings, ...], Field(strict=False)] = ()
    alive_url: HttpUrl = ""
    alive_url_file: str = ""
    alive_every: Annotated[float, Field(ge=5, le=86_400)] = 60.0

    @model_validator(mode="after")
    def _names_differ(self) -> NotifySettings:
        names = [channel.name for channel in self.channels]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"[notify] channels: two channels have the name {twice[0]}")
        if self.alive_url and self.alive_url_file:
            raise ValueError("[notify] alive_url: set either alive_url or alive_url_file")
        return self
