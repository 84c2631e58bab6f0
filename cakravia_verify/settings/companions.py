"""The tables [[companions]]: processes of the same version that get no requests, such as workers and schedulers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from cakravia_verify.settings.section import Seconds, Section

# The words that `cakravia logs` takes for other parts of a site.
OTHER_PARTS = ("blue", "green", "proxy")


class CompanionSettings(Section):
    """One process beside the slots. `grace` and `settle` in seconds; a grace of 0 is that of the application."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    command: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)] = ()
    service: str = ""
    grace: Seconds = 0.0
    settle: Seconds = 2.0
    environment: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_one_definition(self) -> CompanionSettings:
        if self.name in OTHER_PARTS:
            raise ValueError(f"the name {self.name!r} belongs to another part of the site; choose another one")
        if bool(self.command) == bool(self.service):
            raise ValueError(f"companion {self.name} needs command, or on Docker a service of the compose file")
        return self
