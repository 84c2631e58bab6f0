"""Settings for a part of the site that nginx treats otherwise: limits for a path, and the project's own directives."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cakravia_verify.settings.section import NGINX_PATH, Section

SnippetFile = Annotated[str, Field(pattern=NGINX_PATH)]


class SnippetSettings(Section):
    """Files of the project with nginx directives, by the place at which nginx reads them. Empty: none."""

    http: SnippetFile = ""
    server: SnippetFile = ""
    locations: SnippetFile = ""

    @property
    def given(self) -> dict[str, str]:
        """The files by their place."""
        return {place: file for place, file in self.model_dump().items() if file}


class PathSettings(Section):
    """Limits for all requests whose path begins with `path`. A limit that is left out is that of `[proxy]`.

    `buffering` collects an answer in memory, so that a slow client holds no request in the slot open.
    `request_buffering` collects a request's body before the slot gets it.
    """

    path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/@+-]*$", min_length=2)]
    max_body: Annotated[str, Field(pattern=r"^([0-9]+[kKmMgG]?)?$")] = ""
    read_timeout: Annotated[float, Field(gt=0, le=86_400)] | None = None
    buffering: bool = False
    request_buffering: bool = True
