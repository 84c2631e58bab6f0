"""The names under which users reach the site, and the redirects to them."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from cakravia_verify.settings.section import Section

_LABEL: Final = r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?"
_NAME: Final = rf"{_LABEL}(\.{_LABEL})*"
# nginx's configuration contains these between double quotes.
_PATH: Final = r"/[A-Za-z0-9._~/@!&()+,=%-]*"
_TARGET: Final = rf"(https?://{_NAME}(:[0-9]{{1,5}})?)?(/[A-Za-z0-9._~/@!&()+,=%?#-]*)?"


def _checked_name(name: str) -> str:
    lower = name.lower()
    if not re.fullmatch(rf"(\*\.)?{_NAME}", lower):
        raise ValueError(f"{name!r} is no host name: write shop.example.org or *.example.org, without scheme and port")
    return lower


HostName: TypeAlias = Annotated[str, AfterValidator(_checked_name)]


def is_covered(host: str, names: tuple[str, ...]) -> bool:
    """Whether one of the names is the host's, or a wildcard for it."""
    lower = host.lower()
    return any(lower == name or (name.startswith("*.") and lower.endswith(name[1:])) for name in names)


class RedirectKind(StrEnum):
    """What a redirect looks at."""

    SCHEME = "scheme"
    HOST = "host"
    PATH = "path"


class Redirect(Section):
    """Requests for `from` get the address `to`. `*` at the end of both paths stands for the rest of the path."""

    source: Annotated[str, Field(alias="from")]
    to: str
    status: Literal[301, 302, 307, 308] = 308

    @property
    def kind(self) -> RedirectKind:
        if self.source == "http":
            return RedirectKind.SCHEME
        return RedirectKind.PATH if self.source.startswith("/") else RedirectKind.HOST

    @model_validator(mode="after")
    def _is_possible(self) -> Redirect:
        match self.kind:
            case RedirectKind.SCHEME if self.to != "https":
                raise ValueError(f'from = "http" leads to "https", not to {self.to!r}')
            case RedirectKind.HOST:
                _checked_name(self.source)
                if not re.fullmatch(rf"(https?://)?{_NAME}(:[0-9]{{1,5}})?", self.to):
                    raise ValueError(f"{self.to!r} is no host: the path of the request is kept, so write none")
                if self.to.rpartition("://")[2] == self.source.lower():
                    raise ValueError(f"{self.source!r} would be redirected to itself for ever")
            case RedirectKind.PATH:
                self._require_paths()
        return self

    def _require_paths(self) -> None:
        source, to = self.source.removesuffix("*"), self.to.removesuffix("*")
        if not re.fullmatch(_PATH, source):
            raise ValueError(
                f"{self.source!r} is no path of letters, digits and ._~/@!&()+,=%-, with or without * at its end"
            )
        if not to or not re.fullmatch(_TARGET, to):
            raise ValueError(f"{self.to!r} is no path and no address such as https://example.org/new")
        if self.to.endswith("*") and not self.source.endswith("*"):
            raise ValueError(f"{self.to!r} ends in *, and {self.source!r} does not")
        if self.source.startswith("/.cakravia"):
            raise ValueError(f"{self.source} belongs to the proxy itself")
        if self.to == self.source or (self.source.endswith("*") and self.to.startswith(source)):
            raise ValueError(f"{self.source!r} would be redirected to itself for ever")


def require_one_of_each(redirects: tuple[Redirect, ...]) -> None:
    """Raise ValueError if two redirects are for the same requests."""
    sources = [each.source.lower() if each.kind is RedirectKind.HOST else each.source for each in redirects]
    if twice := sorted({source for source in sources if sources.count(source) > 1}):
        raise ValueError(f"redirects: {', '.join(twice)} is named twice")
