"""The settings of the proxy."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from cakravia_verify.settings.names import HostName, Redirect, RedirectKind, require_one_of_each
from cakravia_verify.settings.own_nginx import PathSettings, SnippetSettings
from cakravia_verify.settings.section import NGINX_PATH, Listens, OptionalListens, Section, address_of
from cakravia_verify.settings.skew import AssetPrefix, SkewSettings
from cakravia_verify.settings.trusted_peers import networks_of
from cakravia_verify.slots import Address, Colour

# nginx's configuration contains the value between double quotes.
HeaderValue: TypeAlias = Annotated[str, Field(pattern=r"""^[^"$\\\x00-\x1f\x7f]*$""")]


class SecurityHeaders(Section):
    """Headers that the proxy adds to an answer that has none of that name. An empty value adds nothing."""

    x_content_type_options: HeaderValue = "nosniff"
    x_frame_options: HeaderValue = "SAMEORIGIN"
    referrer_policy: HeaderValue = "strict-origin-when-cross-origin"
    strict_transport_security: HeaderValue = ""


class MaintenanceSettings(Section):
    """Who gets in during `cakravia maintenance`, and when the others may ask again."""

    addresses: Annotated[tuple[str, ...], Field(strict=False)] = ()
    cookie: Annotated[str, Field(pattern=r"^([A-Za-z0-9_]{1,64}=[A-Za-z0-9_-]{8,128})?$")] = ""
    retry_after: Annotated[int, Field(ge=1, le=86_400)] = 120

    @property
    def cookie_variable(self) -> str:
        """nginx's name for the cookie's value."""
        return f"cookie_{self.cookie.partition('=')[0] or 'none'}"

    @property
    def cookie_value(self) -> str:
        return self.cookie.partition("=")[2]

    @field_validator("addresses")
    @classmethod
    def _addresses_are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        networks_of(value)
        return value


class DetourSettings(Section):
    """Ports of programs between nginx and the slots, as failover tests put there. 0: none."""

    blue: Annotated[int, Field(ge=0, le=65_535)] = 0
    green: Annotated[int, Field(ge=0, le=65_535)] = 0

    def port(self, colour: Colour) -> int:
        return self.blue if colour is Colour.BLUE else self.green


class ProxySettings(Section):
    """How nginx listens, switches and connects to the slots. Times are in seconds."""

    listen: Listens = "127.0.0.1:8080"
    server_names: Annotated[tuple[HostName, ...], Field(strict=False)] = ()
    strangers: Literal["serve", "close", "page"] = "serve"
    redirects: Annotated[tuple[Redirect, ...], Field(strict=False)] = ()
    nginx: str = ""
    switch: Literal["flag", "reload"] = "flag"
    failover: bool = True
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    keepalive: Annotated[int, Field(ge=0, le=1024)] = 32
    upstream_idle: Annotated[float, Field(gt=0, le=3600)] = 2.0
    client_idle: Annotated[float, Field(gt=0, le=3600)] = 75.0
    keepalive_min: Annotated[float, Field(ge=0, le=3600)] = 5.0
    connect_timeout: Annotated[float, Field(gt=0, le=75)] = 2.0
    read_timeout: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    stream_timeout: Annotated[float, Field(gt=0, le=86_400)] = 3600.0
    gzip: bool = False
    max_body: Annotated[str, Field(pattern=r"^[0-9]+[kKmMgG]?$")] = "64m"
    header_size: Annotated[str, Field(pattern=r"^[0-9]{1,3}[kK]$")] = "32k"
    header_timeout: Annotated[float, Field(gt=0, le=3600)] = 15.0
    connections: Annotated[int, Field(ge=64, le=1_000_000)] = 16_384
    connections_per_address: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    trusted: Annotated[tuple[str, ...], Field(strict=False)] = ()
    access_log: Annotated[str, Field(pattern=r"""^(file|stdout|syslog:server=[^\s"'$;{}\\]+)?$""")] = ""
    pages: Annotated[str, Field(pattern=NGINX_PATH)] = ""
    security_headers: SecurityHeaders = SecurityHeaders()
    maintenance: MaintenanceSettings = MaintenanceSettings()
    tls_listen: OptionalListens = ""
    tls_certificate: Annotated[str, Field(pattern=NGINX_PATH)] = ""
    tls_key: Annotated[str, Field(pattern=NGINX_PATH)] = ""
    acme_webroot: Annotated[str, Field(pattern=NGINX_PATH)] = ""
    assets: Annotated[tuple[AssetPrefix, ...], Field(strict=False)] = ()
    assets_keep: Annotated[float, Field(ge=0, le=366 * 86_400)] = 604_800.0
    skew: SkewSettings = SkewSettings()
    snippets: SnippetSettings = SnippetSettings()
    path: Annotated[tuple[PathSettings, ...], Field(strict=False)] = ()
    detour: DetourSettings = DetourSettings()

    @model_validator(mode="after")
    def _skew_needs_the_flag(self) -> ProxySettings:
        if self.skew.is_on and self.switch != "flag":
            raise ValueError('skew needs switch = "flag": with "reload" the idle slot gets no requests')
        return self

    @model_validator(mode="after")
    def _paths_differ(self) -> ProxySettings:
        paths = [*self.assets, *(each.path for each in self.path)]
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"{path} is named twice in assets and [[proxy.path]]")
            if path.startswith("/.cakravia"):
                raise ValueError(f"{path} belongs to the proxy itself")
        return self

    @model_validator(mode="after")
    def _strangers_can_be_told_apart(self) -> ProxySettings:
        if self.strangers != "serve" and not self.server_names:
            raise ValueError(f'strangers = "{self.strangers}" needs server_names: without them everybody is a stranger')
        return self

    @model_validator(mode="after")
    def _redirects_end(self) -> ProxySettings:
        require_one_of_each(self.redirects)
        goes_secure = any(each.kind is RedirectKind.SCHEME for each in self.redirects)
        if goes_secure and not (self.tls_listen or self.trusted):
            raise ValueError(
                "the redirect from http to https needs tls_listen, or the proxy that speaks TLS in trusted: "
                "else each request looks like plain http"
            )
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> ProxySettings:
        given = [bool(self.tls_listen), bool(self.tls_certificate), bool(self.tls_key)]
        if any(given) and not all(given):
            raise ValueError("tls_listen, tls_certificate and tls_key need each other: set all three, or none")
        if set(self.tls_listens) & set(self.listens):
            raise ValueError("tls_listen needs another address than listen")
        return self

    @property
    def listens(self) -> tuple[str, ...]:
        return (self.listen,) if isinstance(self.listen, str) else self.listen

    @property
    def tls_listens(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.tls_listen,))) if isinstance(self.tls_listen, str) else self.tls_listen

    @property
    def addresses(self) -> tuple[tuple[str, Address], ...]:
        """All addresses for users, with the name of their setting."""
        plain = (("listen", address_of(each)) for each in self.listens)
        return (*plain, *(("tls_listen", address_of(each)) for each in self.tls_listens))

    @property
    def address(self) -> Address:
        """The first address: this machine's own requests go there."""
        return address_of(self.listens[0])

    @property
    def tls_address(self) -> Address | None:
        return address_of(self.tls_listens[0]) if self.tls_listens else None

    @property
    def known_names(self) -> tuple[str, ...]:
        """The names of the site: its own, and those that lead to it by a redirect."""
        sources = (each.source.lower() for each in self.redirects if each.kind is RedirectKind.HOST)
        return tuple(dict.fromkeys((*self.server_names, *sources)))

    @property
    def trusted_networks(self) -> tuple[str, ...]:
        return networks_of(self.trusted)

    @field_validator("trusted")
    @classmethod
    def _trusted_are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        networks_of(value)
        return value

    @property
    def header_size_kilobytes(self) -> int:
        return int(self.header_size[:-1])

    @field_validator("header_size")
    @classmethod
    def _header_fits_usual_pages(cls, value: str) -> str:
        if int(value[:-1]) < 4:
            raise ValueError("use at least 4k: usual requests have such headers")
        return value
