"""An engine of the tests' own, which they may stop, restart and fill: in a network namespace, so it disturbs nobody."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cakravia_verify.system.clock import Deadline, poll

# Of the two ends of the cable: this machine's, and the engine's. Containers get addresses from the subnet below them.
# Each process of tests has a network of its own, so two can have an engine at the same time.
NETWORK = f"10.{200 + os.getpid() % 50}"
HERE, THERE = f"{NETWORK}.255.1", f"{NETWORK}.255.2"
CABLE, NETWORKS, BRIDGE = f"{NETWORK}.255.0/30", f"{NETWORK}.0.0/17", f"{NETWORK}.250.1/24"


def missing() -> str:
    """Why no such engine can be had here, empty where it can."""
    if os.geteuid() != 0:
        return "a private Docker engine needs root"
    for program in ("dockerd", "docker", "ip", "nsenter", "iptables"):
        if not shutil.which(program):
            return f"a private Docker engine needs {program}"
    return ""


@dataclass
class PrivateEngine:
    """`dockerd` behind a cable of its own. Ports are published at THERE."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="cakravia-engine-")))
    name: str = f"cvt{os.getpid() % 100_000}"
    options: tuple[str, ...] = ()
    _process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    def bound(self, size: str) -> None:
        """The engine's disk is `size` large and in memory; it can be filled, and nobody else notices."""
        self.data.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(self.data)]
        subprocess.run(command, check=True, capture_output=True)

    @contextlib.contextmanager
    def filled(self) -> Iterator[None]:
        """Nothing is left of its disk meanwhile."""
        filler = self.data / "filler"
        try:
            with filler.open("wb") as file, contextlib.suppress(OSError):
                while True:
                    free = os.statvfs(self.data)
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), max(1, free.f_bavail) * free.f_frsize)
            yield
        finally:
            filler.unlink(missing_ok=True)

    def connect_cable(self) -> None:
        ours, theirs = f"{self.name}a", f"{self.name}b"
        for command in (
            f"ip netns add {self.name}",
            f"ip link add {ours} type veth peer name {theirs}",
            f"ip link set {theirs} netns {self.name}",
            f"ip addr add {HERE}/30 dev {ours}",
            f"ip link set {ours} up",
            f"ip netns exec {self.name} ip addr add {THERE}/30 dev {theirs}",
            f"ip netns exec {self.name} ip link set {theirs} up",
            f"ip netns exec {self.name} ip link set lo up",
            f"ip netns exec {self.name} ip route add default via {HERE}",
        ):
            subprocess.run(command.split(), check=True, capture_output=True)

    def start(self, *options: str) -> None:
        self.options = options
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("nsenter", f"--net=/var/run/netns/{self.name}", "dockerd", "--host", self.host),
                    *("--data-root", str(self.data), "--exec-root", f"{self.folder}/exec"),
                    *("--pidfile", f"{self.folder}/pid", "--bip", BRIDGE, "--userland-proxy=false"),
                    *("--default-address-pool", f"base={NETWORKS},size=24", *options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        poll(self.answers, deadline=Deadline("the private engine answers", 30), observed=self._last_words)

    def answers(self) -> bool:
        return self.docker("version").returncode == 0

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
            self._process = None

    def restart(self, *options: str) -> None:
        self.stop()
        self.start(*options)

    def docker(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["docker", *arguments],
            env={**os.environ, "DOCKER_HOST": self.host},
            capture_output=True,
            check=False,
            timeout=60,
        )

    def copy_image(self, image: str) -> None:
        """An image of the machine's own engine is in this one too."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            subprocess.run(
                ["docker", "load"],
                env={**os.environ, "DOCKER_HOST": self.host},
                stdin=saved.stdout,
                stdout=subprocess.DEVNULL,
                check=True,
                timeout=120,
            )

    def remove(self) -> None:
        """Nothing of it is left, whatever state it was in."""
        with contextlib.suppress(Exception):
            if self._process is None:
                self.start()
            found = self.docker("ps", "--all", "--quiet").stdout.decode().split()
            if found:
                self.docker("rm", "--force", "--volumes", *found)
        self.stop()
        for command in (f"umount {self.data}", f"ip netns del {self.name}", f"ip link del {self.name}a"):
            subprocess.run(command.split(), check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _last_words(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-500:]
