"""The configuration that this tool renders breaks no rule, with any settings."""

from __future__ import annotations

from typing import Any

import pytest

from cakravia_verify.proxy.certificate import Certificate
from cakravia_verify.proxy.lint.linting import lint
from cakravia_verify.proxy.lint.model import LintFacts
from cakravia_verify.proxy.lint.parsing import parse_text
from cakravia_verify.proxy.monitor_pages import MonitorPages
from cakravia_verify.proxy.nginx.render import NginxPaths, render_nginx, render_upstream
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.slots import Address, Colour

FOLDER = "/srv/shop/nginx"
PATHS = NginxPaths(
    pid=f"{FOLDER}/nginx.pid",
    error_log=f"{FOLDER}/error.log",
    access_log=f"{FOLDER}/access.log",
    everyday_log=f"{FOLDER}/everyday.log",
    stand_ins=f"{FOLDER}/stand-ins.log",
    temp=f"{FOLDER}/temp",
    flags=f"{FOLDER}/flags",
    upstream=f"{FOLDER}/upstream.conf",
    certificate=f"{FOLDER}/shop.pem",
    key=f"{FOLDER}/shop.key",
    assets=f"{FOLDER}/assets",
    error_pages=f"{FOLDER}/page-",
)
SLOTS = {Colour.BLUE: Address("127.0.0.1", 3001), Colour.GREEN: Address("127.0.0.1", 3002)}
PAGES = MonitorPages(
    folder="/srv/shop/pages",
    password_file=f"{FOLDER}/users",
    password="secret",
    is_public=True,
    live=Address("127.0.0.1", 9400),
    has_actions=True,
    reports="/srv/shop/reports",
)
UPLOADS = {"path": "/upload", "max_body": "1g", "read_timeout": 600.0, "buffering": True, "request_buffering": False}
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "reload": {"switch": "reload", "keepalive": 0, "path": (UPLOADS,)},
    "everything": {
        "listen": ("127.0.0.1:8080", "[::1]:8080"),
        "server_names": ("shop.example", "www.shop.example"),
        "strangers": "close",
        "redirects": (
            {"from": "www.shop.example", "to": "https://shop.example"},
            {"from": "http", "to": "https"},
            {"from": "/old/*", "to": "/new/*", "status": 302},
        ),
        "assets": ("/static/",),
        "skew": {"cookie": "version", "header": "X-Version"},
        "path": (UPLOADS, {"path": "/events", "read_timeout": 3600.0}),
        "trusted": ("10.0.0.0/8",),
        "access_log": "file",
        "connections_per_address": 200,
        "gzip": True,
        "acme_webroot": "/srv/shop/acme",
        "tls_listen": "127.0.0.1:8443",
        "tls_certificate": "shop.pem",
        "tls_key": "shop.key",
    },
}


def configuration(settings: ProxySettings, *, version: tuple[int, ...]) -> str:
    text = render_nginx(
        settings,
        paths=PATHS,
        upstreams=SLOTS,
        site_key="k" * 32,
        version=version,
        listens=("127.0.0.1:8080",),
        own_address="127.0.0.1:8080",
        tls_listens=settings.tls_listens,
        certificate=Certificate(b"chain", b"key") if settings.tls_listen else None,
        daemon=True,
        open_files=65_536,
        error_pages={"502": b"sorry", "maintenance": b"later"},
        pages=PAGES,
    )
    upstream = render_upstream(settings, Colour.BLUE, address=SLOTS[Colour.BLUE])
    return text.replace(f'include "{PATHS.upstream}";', upstream)


@pytest.mark.parametrize("version", [(1, 22, 1), (1, 31, 3)])
@pytest.mark.parametrize("name", SETTINGS)
def test_our_own_configuration_breaks_no_rule(name: str, version: tuple[int, ...]) -> None:
    text = configuration(ProxySettings(**SETTINGS[name]), version=version)
    facts = LintFacts(nginx=version, largest_body=64 * 2**20)
    assert [f"{each.line} {each.rule}: {each.found}" for each in lint(parse_text(text), facts) if each.counts] == []
