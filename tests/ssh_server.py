"""An sshd of a test's own on the loopback address, with keys of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cakravia_verify.system.clock import Deadline, poll
from tests.ports import free_ports

SERVER = "/usr/sbin/sshd"


@dataclass(frozen=True)
class SshServer:
    """Where the sshd listens, and the keys: `user` opens it, `known_hosts` is its line for a client."""

    port: int
    user: Path
    known_hosts: str


@contextmanager
def ssh_server(folder: Path, *, environment: Mapping[str, str] | None = None) -> Iterator[SshServer]:
    """Start an sshd with its files in `folder`. Its sessions get the variables of `environment`."""
    if not Path(SERVER).exists() or not shutil.which("ssh"):
        pytest.skip("there is no sshd here")
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    (port,) = free_ports(1)
    given = " ".join(f'"{name}={value}"' for name, value in (environment or {}).items())
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile {folder}/pid\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nPasswordAuthentication no\nUsePAM no\n"
        f"PermitRootLogin prohibit-password\n{f'SetEnv {given}' if given else ''}\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([SERVER, "-D", "-e", "-f", folder / "sshd_config"], stderr=subprocess.DEVNULL)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        poll(listens, deadline=Deadline("sshd listens", 10))
        yield SshServer(port, folder / "user", f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    finally:
        server.terminate()
        server.wait(10)
