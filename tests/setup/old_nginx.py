"""A set-up as it runs before a migration: an application without slots, and an nginx of its own in front."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from cakravia_verify.platforms.process.nginx_program import NginxProgram
from cakravia_verify.testing.throwaway_site import REPOSITORY

SHOP = REPOSITORY / "examples" / "shop" / "shop.py"
CONFIGURATION = """
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{}}
http {{
    access_log off;
    {more}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {upstream}
    server {{
        listen 127.0.0.1:{users};
        location / {{
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_pass http://{target};
        }}
    }}
}}
"""


@dataclass(frozen=True)
class OldSite:
    """The address of users, the application's port, and the command that runs the old nginx."""

    users: str
    application: int
    nginx: str
    folder: Path

    def header(self) -> str | None:
        """Return the slot that a user's answer names, None if the old application answered."""
        answer = httpx.get(f"http://{self.users}/", trust_env=False, timeout=10)
        assert answer.status_code == 200, answer.text
        slot: str | None = answer.headers.get("X-Served-Slot")
        return slot


@contextlib.contextmanager
def old_site(
    folder: Path, *, users: int, application: int, has_upstream_file: bool, more: str = ""
) -> Iterator[OldSite]:
    """Run the old set-up. With `has_upstream_file` it is the original's: upstream.conf and a template for each slot.

    `more` are further lines of its configuration.
    """
    folder.mkdir()
    target, upstream = f"127.0.0.1:{application}", ""
    if has_upstream_file:
        for name in ("upstream.conf", "upstream.blue.template", "upstream.green.template"):
            (folder / name).write_text(f"upstream app {{\n    server {target} max_fails=3;\n    keepalive 32;\n}}\n")
        target, upstream = "app", f"include {folder}/upstream.conf;"
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(folder=folder, users=users, upstream=upstream, target=target, more=more)
    )
    nginx = [str(NginxProgram("", folder).binary), "-c", str(configuration), "-p", str(folder)]
    environment = os.environ | {"HOST": "127.0.0.1", "PORT": str(application), "APP_VERSION": "old"}
    process = subprocess.Popen([sys.executable, str(SHOP)], env=environment, stderr=subprocess.DEVNULL)
    try:
        subprocess.run(nginx, check=True)
        site = OldSite(f"127.0.0.1:{users}", application, shlex.join(nginx), folder)
        deadline = time.monotonic() + 20
        while not answers(site) and time.monotonic() < deadline:
            time.sleep(0.1)
        yield site
    finally:
        subprocess.run([*nginx, "-s", "stop"], check=False, capture_output=True)
        process.kill()
        process.wait()


def answers(site: OldSite) -> bool:
    try:
        return httpx.get(f"http://{site.users}/", trust_env=False, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
