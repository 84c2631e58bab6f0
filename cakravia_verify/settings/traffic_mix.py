"""The tables `[[traffic.mix]]`: the kinds of requests that users send. docs/TRAFFIC.md explains every key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from cakravia_verify.settings.headers import checked_names
from cakravia_verify.settings.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

HeaderName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
OptionalHeaderName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$")]
HeaderValue: TypeAlias = Annotated[str, Field(pattern=r"^[ -~]*$")]
Headers: TypeAlias = Annotated[dict[HeaderName, HeaderValue], AfterValidator(checked_names)]
FinalStatus: TypeAlias = Annotated[int, Field(ge=200, le=599)]

SEQUENCE = "sequence"
"""The value of `verify` for an event stream whose numbered ids must follow each other, over every connection."""
ECHO = "echo"


def _as_table(body: Any) -> Any:
    return {"kind": "text", "text": body} if isinstance(body, str) else body


class RequestBody(Section):
    """What a request carries: a fixed text, `size` random bytes with their checksum, or a JSON order."""

    kind: Literal["none", "text", "random", "order"] = "none"
    text: str = ""
    size: Annotated[int, Field(ge=0, le=1 << 30)] = 0
    content_type: HeaderValue = ""
    chunked: bool = False

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> RequestBody:
        for key, kind in (("text", "text"), ("size", "random")):
            if key in self.model_fields_set and self.kind != kind:
                raise ValueError(f"'{key}' would do nothing: it is for kind = {kind!r}, this one is {self.kind!r}")
        for key in ("content_type", "chunked"):
            if key in self.model_fields_set and self.kind == "none":
                raise ValueError(f"'{key}' would do nothing: there is no body")
        return self


class MixRequest(Section):
    """What an arrival and a step have in common. `timeout` in seconds; 0 keeps the one of `[traffic]`."""

    name: Annotated[str, Field(min_length=1)] = ""
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: Annotated[str, Field(pattern=r"^/[!-~]*$")] = "/"
    headers: Headers = Field(default_factory=dict)
    body: Annotated[RequestBody, BeforeValidator(_as_table)] = RequestBody()
    expect: Annotated[tuple[FinalStatus, ...], Field(min_length=1, strict=False)] | None = None
    verify: HeaderValue = ""
    contains: str = ""
    timeout: Annotated[float, Field(ge=0, le=3600)] = 0.0

    @property
    def title(self) -> str:
        """The name in the records."""
        return self.name or f"{self.method} {self.path}"

    @model_validator(mode="after")
    def _the_answer_can_be_verified(self) -> MixRequest:
        if self.verify == ECHO and self.body.kind == "none":
            raise ValueError("verify = 'echo' needs a body that can come back")
        encodings = [value.lower() for name, value in self.headers.items() if name.lower() == "accept-encoding"]
        if self.contains and encodings not in ([], ["identity"]):
            raise ValueError("'contains' finds no text in a compressed body: leave out it or 'Accept-Encoding'")
        return self

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> MixRequest:
        for key, reason in self._keys_without_effect():
            raise ValueError(f"'{key}' would do nothing: {reason}")
        return self

    def _keys_without_effect(self) -> Iterator[tuple[str, str]]:
        if self.method == "HEAD":
            for key in ("verify", "contains"):
                if getattr(self, key):
                    yield key, "the answer to HEAD has no body"


class MixStep(MixRequest):
    """A request that follows another one over the same connection, `pause` seconds after its answer."""

    pause: Annotated[float, Field(ge=0, le=60)] = 0.0

    @model_validator(mode="after")
    def _verifies_no_events(self) -> MixStep:
        if self.verify == SEQUENCE:
            raise ValueError(f"'verify' would do nothing: {SEQUENCE!r} is for events")
        return self


class MixTable(MixRequest):
    """One table `[[traffic.mix]]`. `weight` is its share of all arrivals, `every` the seconds between messages."""

    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    stream: Literal["", "events", "websocket"] = ""
    every: Annotated[float, Field(ge=0.01, le=600)] = 0.25
    steps: Annotated[tuple[MixStep, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _a_stream_is_a_lone_get(self) -> MixTable:
        if not self.stream:
            return self
        if self.method != "GET" or self.body.kind != "none" or not self.timeout:
            raise ValueError("a stream is a GET without a body, with a timeout: the seconds for which it is held")
        if self.steps:
            raise ValueError("a stream has no steps")
        return self

    def _keys_without_effect(self) -> Iterator[tuple[str, str]]:
        yield from super()._keys_without_effect()
        if "every" in self.model_fields_set and self.stream != "websocket":
            yield "every", 'only messages over stream = "websocket" have an interval'
        if self.contains and self.stream:
            yield "contains", "a stream has no body that ends"
        if self.stream == "websocket":
            if self.expect is not None:
                yield "expect", "a WebSocket starts with status 101"
            if self.verify:
                yield "verify", "every message has to come back unchanged anyway"
        elif self.verify and (self.stream == "events") is not (self.verify == SEQUENCE):
            yield "verify", f"{SEQUENCE!r} is for events, and events have nothing else to verify"
