"""Two sites behind the programs of docs/FRONT.md, with the configurations printed there."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import poll
from tests.docs.pages import ROOT, blocks
from tests.platforms.process.nginx.conftest import Backend, deadline, kill_all
from tests.ports import free_ports

PAGE = ROOT / "docs" / "FRONT.md"
NAMES = ("shop", "blog")
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("haproxy", "caddy")]


@dataclass(frozen=True)
class OwnSite:
    """A site of its own behind the front program."""

    proxy: LocalNginx
    slots: tuple[Backend, Backend]


@dataclass(frozen=True)
class Behind:
    """A running front program, and the sites behind it by their name."""

    port: int
    sites: dict[str, OwnSite]

    def ask(self, host: str, *, method: str = "GET", body: bytes = b"", headers: dict[str, str] | None = None) -> Any:
        """Return what the slot got, as the slot tells it."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as user:
            user.request(method, "/", body=body, headers={"Host": host, **(headers or {})})
            answer = user.getresponse()
            content = answer.read()
            if content[:1] != b"{":
                return {"status": answer.status}
            got = json.loads(content)
            return {**got, "status": answer.status, "headers": {k.lower(): v for k, v in got["headers"].items()}}


def printed(program: str) -> str:
    """Return the configuration of the page for that program."""
    name = {"nginx": "/etc/nginx/", "haproxy": "/etc/haproxy/", "caddy": "/etc/caddy/"}[program]
    (found,) = [block.text for block in blocks(PAGE) if block.text.startswith(f"# {name}")]
    return found


def configured(program: str, folder: Path, *, port: int, sites: dict[str, int]) -> list[str]:
    """Write the printed configuration with these ports. Return the command that runs it in the foreground."""
    text = printed(program)
    for name, printed_port in zip(NAMES, (8080, 8081), strict=True):
        text = text.replace(f"127.0.0.1:{printed_port}", f"127.0.0.1:{sites[name]}")
    file = folder / "front.conf"
    match program:
        case "nginx":
            text = text.replace("listen 80", f"listen 127.0.0.1:{port}")
            temp = "".join(
                f"{kind}_temp_path {folder}/temp-{kind};\n" for kind in ("proxy", "fastcgi", "uwsgi", "scgi")
            )
            text = (
                f"daemon off;\npid {folder}/front.pid;\nerror_log {folder}/front.log;\n"
                f"events {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path {folder}/temp-body;\n{temp}{text}}}\n"
            )
            command = ["/usr/sbin/nginx", "-e", str(folder / "front.log"), "-c", str(file)]
        case "haproxy":
            text = text.replace("bind :80", f"bind 127.0.0.1:{port}")
            command = ["/usr/sbin/haproxy", "-db", "-f", str(file)]
        case _:
            text = text.replace("example.org {", f"example.org:{port} {{")
            text = "{\n\tadmin off\n}\n" + text
            command = ["/usr/bin/caddy", "run", "--adapter", "caddyfile", "--config", str(file)]
    file.write_text(text)
    return command


@contextlib.contextmanager
def own_site(folder: Path, port: int) -> Iterator[OwnSite]:
    slots = (Backend("blue"), Backend("green"))
    settings = ProxySettings(listen=f"127.0.0.1:{port}", trusted=("127.0.0.1",))
    upstreams = dict(zip(Colour, (slot.address for slot in slots), strict=True))
    site = OwnSite(LocalNginx(settings, folder=folder, upstreams=upstreams), slots)
    try:
        site.proxy.start(Colour.BLUE, deadline=deadline())
        yield site
    finally:
        kill_all(folder)
        for slot in slots:
            slot.end()


@contextlib.contextmanager
def running(program: str) -> Iterator[Behind]:
    folder = Path(tempfile.mkdtemp(prefix="front-"))
    port, *others = free_ports(3)
    ports = dict(zip(NAMES, others, strict=True))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        sites = {name: stack.enter_context(own_site(folder / name, ports[name])) for name in NAMES}
        command = configured(program, folder, port=port, sites=ports)
        environment = os.environ | {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        with (folder / "front.out").open("w") as output:
            front = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        stack.callback(front.wait)
        stack.callback(front.terminate)
        behind = Behind(port, sites)

        def is_ready() -> bool:
            assert front.poll() is None, (folder / "front.out").read_text()
            with contextlib.suppress(OSError):
                return bool(behind.ask("shop.example.org")["status"] == 200)
            return False

        poll(is_ready, deadline=deadline(), every=0.05)
        yield behind


@pytest.fixture(scope="module", params=["nginx", *SLOW])
def behind(request: pytest.FixtureRequest) -> Iterator[Behind]:
    program = {"nginx": "/usr/sbin/nginx", "haproxy": "/usr/sbin/haproxy", "caddy": "/usr/bin/caddy"}[request.param]
    if not Path(program).exists():
        pytest.skip(f"there is no {program} here: apt-get install {request.param}")
    with running(request.param) as behind:
        yield behind


def test_each_name_reaches_its_own_site_and_a_stranger_none(behind: Behind) -> None:
    for name in NAMES:
        before = [len(slot.seen) for site in behind.sites.values() for slot in site.slots]
        assert behind.ask(f"{name}.example.org")["status"] == 200
        after = [len(slot.seen) for site in behind.sites.values() for slot in site.slots]
        assert [b - a for a, b in zip(before, after, strict=True)] == ([1, 0, 0, 0] if name == "shop" else [0, 0, 1, 0])
    with contextlib.suppress(http.client.RemoteDisconnected, OSError):
        assert "slot" not in behind.ask("evil.example.org")


def test_a_switch_of_one_site_moves_its_users_alone(behind: Behind) -> None:
    shop = behind.sites["shop"].proxy
    shop.point_at(Colour.GREEN, deadline=deadline())
    assert [behind.ask(f"{name}.example.org")["slot"] for name in NAMES] == ["green", "blue"]
    shop.point_at(Colour.BLUE, deadline=deadline())
    assert [behind.ask(f"{name}.example.org")["slot"] for name in NAMES] == ["blue", "blue"]


def test_what_the_front_says_of_the_user_reaches_the_application(behind: Behind) -> None:
    claimed = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "444"}
    got = behind.ask(f"shop.example.org:{behind.port}", headers=claimed)["headers"]
    assert (got["x-real-ip"], got["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert got["x-forwarded-port"] != "444"
    assert got["host"] == f"shop.example.org:{behind.port}"


def test_large_headers_and_bodies_pass_the_front(behind: Behind) -> None:
    got = behind.ask("shop.example.org", method="POST", body=b"x" * 2_000_000, headers={"Cookie": "c=" + "x" * 30_000})
    assert (got["status"], got["received"], len(got["headers"]["cookie"])) == (200, 2_000_000, 30_002)
