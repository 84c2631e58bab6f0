"""Render nginx's configuration from the settings. No files are read or written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from cakravia_verify.proxy.certificate import Certificate
from cakravia_verify.proxy.error_pages import digest_of
from cakravia_verify.proxy.monitor_pages import MonitorPages
from cakravia_verify.proxy.nginx.changes import settings_lines
from cakravia_verify.proxy.nginx.hold import hold_of
from cakravia_verify.proxy.nginx.names import names_of
from cakravia_verify.proxy.nginx.site_facts import PLAIN_SITE, PROXY_SCHEME, SiteFacts
from cakravia_verify.proxy.nginx.types import TYPES
from cakravia_verify.proxy.slot_paths import slot_path
from cakravia_verify.proxy.snippets import TO_SLOT
from cakravia_verify.settings.own_nginx import PathSettings, SnippetSettings
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.settings.skew import SkewSettings
from cakravia_verify.settings.trusted_peers import networks_of
from cakravia_verify.slots import Address, Colour

if TYPE_CHECKING:
    from jinja2 import Environment

NGINX_WITH_KEEPALIVE_MIN = (1, 27, 4)
NGINX_WITH_HTTP2_DIRECTIVE = (1, 25, 1)
NGINX_WITH_TRAILERS = (1, 27, 2)
# CGI and WSGI give these the same names as the headers with dashes, so a stranger could speak for the proxy.
IDENTITY_HEADERS = tuple(
    f"X_{name}" for name in ("Real_IP", "Forwarded_For", "Forwarded_Proto", "Forwarded_Host", "Forwarded_Port")
)
# Logs, ports and the event queue of a worker.
OTHER_FILES = 64
# A slot that does not take a connection in this time, in seconds, is dead or far too busy.
FIRST_CONNECT = 0.3
NGINX_THAT_KEEPS_CERTIFICATES = (1, 27, 4)


@dataclass(frozen=True)
class NginxPaths:
    """The paths of nginx's files, as nginx itself sees them."""

    pid: str
    error_log: str
    access_log: str
    everyday_log: str
    stand_ins: str
    temp: str
    flags: str
    upstream: str
    certificate: str
    key: str
    assets: str
    error_pages: str


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # slow to import

    environment = Environment(
        loader=PackageLoader("cakravia_verify.proxy.nginx"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - nginx configuration, not HTML; every value comes from validated settings
    )
    environment.filters["regex"] = re.escape
    environment.filters["variable"] = lambda header: header.lower().replace("-", "_")
    return environment


def render_nginx(
    settings: ProxySettings,
    *,
    paths: NginxPaths,
    upstreams: dict[Colour, Address],
    site_key: str,
    version: tuple[int, ...],
    listens: tuple[str, ...],
    own_address: str,
    tls_listens: tuple[str, ...],
    certificate: Certificate | None,
    daemon: bool,
    facts: SiteFacts = PLAIN_SITE,
    open_files: int,
    error_pages: Mapping[str, bytes] = MappingProxyType({}),
    user: str = "",
    pages: MonitorPages | None = None,
    snippets: Mapping[str, str] | None = None,
) -> str:
    """Return the whole nginx.conf. `version` is nginx's own, e.g. (1, 22, 1); unknown directives are left out.
    A request below a slot's path (`slot_path`) goes to that slot. One with `site_key` gets in during maintenance.
    The schemes in `facts` go to slots as X-Forwarded-Proto.

    `open_files` is the hard limit of nginx's process. Fewer connections than the settings want are possible then.

    The text contains the certificate's digest. So a renewed certificate is a changed configuration and is reloaded.
    `snippets` are the project's own directives by their place (`proxy.snippets.read_snippets`).
    """
    blue, green = upstreams[Colour.BLUE], upstreams[Colour.GREEN]
    limits = worker_limits(settings, open_files=open_files)
    client = _client(settings, scheme=facts.scheme)
    return (
        _templates()
        .get_template("nginx.conf.j2")
        .render(
            daemon=daemon,
            user=user,
            workers=settings.workers,
            paths=paths,
            listens=_lines_of(listens),
            host=str(settings.address),
            switch=settings.switch,
            slot_paths=[(slot_path(site_key, colour), colour, upstreams[colour]) for colour in Colour],
            blue=str(blue),
            green=str(green),
            scheme=facts.scheme,
            smoke_scheme=facts.smoke_scheme,
            keepalive=settings.keepalive,
            upstream_idle=_milliseconds(settings.upstream_idle),
            client_idle=_milliseconds(settings.client_idle),
            keepalive_min=_milliseconds(settings.keepalive_min)
            if settings.keepalive_min and version >= NGINX_WITH_KEEPALIVE_MIN
            else "",
            connect_timeout=_milliseconds(settings.connect_timeout),
            connect_first=_milliseconds(min(settings.connect_timeout, FIRST_CONNECT)),
            check_path=next(iter(facts.health_paths), "/"),
            # The front page is for users, also if it is a health endpoint.
            health_paths=[path for path in facts.health_paths if path != "/"],
            site_key=site_key,
            standing_in="$standing_in" if settings.switch == "flag" else "",
            own_address=own_address,
            admitted=networks_of(settings.maintenance.addresses),
            maintenance=settings.maintenance,
            hold=hold_of(site_key),
            error_pages=sorted(error_pages),
            error_pages_digest=digest_of(error_pages),
            read_timeout=_milliseconds(settings.read_timeout),
            stream_timeout=_milliseconds(settings.stream_timeout),
            max_body=settings.max_body,
            gzip=settings.gzip,
            acme_webroot=settings.acme_webroot,
            limits=limits,
            connections_per_address=settings.connections_per_address,
            header_timeout=_milliseconds(settings.header_timeout),
            # The name of a header and the status line need room beside the largest value.
            header_buffer=f"{settings.header_size_kilobytes + 4}k",
            has_trailers=version >= NGINX_WITH_TRAILERS,
            trusted=settings.trusted_networks,
            client=client,
            names=names_of(settings, scheme=client.scheme, host=client.host),
            identity_headers=IDENTITY_HEADERS,
            security_headers=_security_headers(settings),
            everyday_log=_everyday_log(settings, paths),
            tls_listens=_lines_of(tls_listens) if certificate else [],
            certificate=certificate.digest if certificate else "",
            keeps_certificates=version >= NGINX_THAT_KEEPS_CERTIFICATES,
            has_http2_directive=version >= NGINX_WITH_HTTP2_DIRECTIVE,
            pages=pages,
            assets=settings.assets,
            types=TYPES,
            skew=_pinning(settings.skew) if settings.skew.is_on else None,
            own_paths=[_path_limits(each) for each in settings.path],
            snippets=_filled_snippets(settings, paths, snippets or {}),
            settings_lines=settings_lines(settings),
        )
    )


def _lines_of(listens: tuple[str, ...]) -> list[str]:
    """Return nginx's addresses. All addresses of IPv6 stand for those of IPv4 too."""
    ipv4 = [f"0.0.0.0:{each.removeprefix('[::]:')}" for each in listens if each.startswith("[::]:")]
    return list(dict.fromkeys([*listens, *ipv4]))


@dataclass(frozen=True)
class WorkerLimits:
    """How many connections one worker may have, how many requests in one slot, and how many open files.

    `requests_again` are beside `requests`, for a slot whose last answers failed.
    """

    connections: int
    requests: int
    requests_again: int
    files: int


def worker_limits(settings: ProxySettings, *, open_files: int) -> WorkerLimits:
    """Return the limits of a worker under a hard limit of `open_files`.

    A request has two connections, to the user and to a slot, and perhaps a file with its body. So a worker runs out
    of connections, which it answers, before it runs out of files, which it cannot answer.
    """
    possible = (open_files - OTHER_FILES) * 2 // 3
    connections = max(OTHER_FILES, min(settings.connections, possible))
    return WorkerLimits(
        connections,
        requests=connections * 6 // 20,
        requests_again=connections * 3 // 20,
        files=connections + connections // 2 + OTHER_FILES,
    )


def render_upstream(settings: ProxySettings, colour: Colour, *, address: Address) -> str:
    """Return the upstream.conf for `switch = "reload"` with `colour` active."""
    return (
        _templates()
        .get_template("upstream.conf.j2")
        .render(
            colour=colour,
            address=address,
            keepalive=settings.keepalive,
            upstream_idle=_milliseconds(settings.upstream_idle),
        )
    )


def is_switched_by_flag(configuration: str) -> bool:
    return "proxy_pass http://active;" not in configuration


def named_active(configuration: str) -> Colour:
    """Return the active slot in a configuration for `switch = "reload"`, blue if there is none."""
    named = re.search(r"^# active: (blue|green)$", configuration, re.MULTILINE)
    return Colour(named[1]) if named else Colour.BLUE


def _everyday_log(settings: ProxySettings, paths: NginxPaths) -> str:
    """Return the log of requests outside measured runs as nginx's directive names it, empty for none."""
    named = {"": "", "file": paths.everyday_log, "stdout": "/dev/stdout"}
    return named.get(settings.access_log, settings.access_log)


@dataclass(frozen=True)
class _Client:
    """nginx's words for what the application learns of the client: variables or constants."""

    scheme: str
    host: str
    port: str


def _client(settings: ProxySettings, *, scheme: str) -> _Client:
    if settings.trusted:
        return _Client("$user_scheme", "$user_host", "$user_port")
    return _Client(scheme, "$passed_host", "$server_port" if scheme == PROXY_SCHEME else "443")


@dataclass(frozen=True)
class _Pinning:
    """nginx's words for the version that a request names, and how many digits of the time a span leaves out."""

    named: str
    nothing: str
    digits: int


def _pinning(skew: SkewSettings) -> _Pinning:
    names = (
        skew.header and f"$http_{skew.header.lower().replace('-', '_')}",
        skew.query and f"$arg_{skew.query}",
        skew.cookie and f"$cookie_{skew.cookie}",
    )
    given = [name for name in names if name]
    return _Pinning("|".join(given), "|" * (len(given) - 1), digits=len(str(skew.span)) - 1)


@dataclass(frozen=True)
class _PathLimits:
    """A path with limits of its own, in nginx's words. An empty value is that of the whole site."""

    path: str
    max_body: str
    timeout: str
    buffering: bool
    request_buffering: bool


def _path_limits(each: PathSettings) -> _PathLimits:
    timeout = "" if each.read_timeout is None else _milliseconds(each.read_timeout)
    return _PathLimits(each.path, each.max_body, timeout, each.buffering, each.request_buffering)


def _filled_snippets(settings: ProxySettings, paths: NginxPaths, snippets: Mapping[str, str]) -> dict[str, str]:
    """Return the snippet of every place, '' for none, with our directives where a location goes through the switch.

    They stand in one line, so that nginx's line numbers stay those of the file.
    """
    text = _templates().get_template("to_slot.j2").render(switch=settings.switch, paths=paths)
    line = " ".join(text.split("\n")).strip()
    return {place: TO_SLOT.sub(lambda _: line, snippets.get(place, "")) for place in SnippetSettings.model_fields}


def _security_headers(settings: ProxySettings) -> dict[str, str]:
    """Return the headers with a value, under their names on the wire."""
    given = settings.security_headers.model_dump()
    return {name.replace("_", "-").title(): value for name, value in given.items() if value}


def _milliseconds(seconds: float) -> str:
    """Return a time for nginx, at least 1 ms. nginx accepts no fractions, and 0 has special meanings."""
    return f"{max(1, round(seconds * 1000))}ms"
