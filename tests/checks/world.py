"""A site in memory on a machine on which mistakes can be planted, and each can be mended."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cakravia_verify.checks.model import CheckFinding, Grade, Ground, carry_out
from cakravia_verify.checks.prerequisites.registry import PREREQUISITES
from cakravia_verify.errors import UsageError
from cakravia_verify.history.journal import Journal
from cakravia_verify.settings.models import Settings
from cakravia_verify.site.lock import Lock
from cakravia_verify.site.site import Site
from cakravia_verify.system.clock import SYSTEM_CLOCK
from cakravia_verify.system.machine import DiskSpace, Machine, MemorySpace, Ran
from cakravia_verify.testing.memory import FakeClock, MemoryProxy, MemorySite
from tests.ports import free_ports

GIB = 2**30


class PlantedMachine(Machine):
    """A sound machine. A test changes one of its facts."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {"PATH": "/usr/bin:/bin"}
        self.uid = super().user_id
        self.asserts = True
        self.space = DiskSpace(free_bytes=50 * GIB, free_files=10**6, files=10**7, is_read_only=False)
        self.ram = MemorySpace(total=16 * GIB, available=8 * GIB)
        self.limits = (1024, 65_536)
        self.kernel_settings = {
            "net.core.somaxconn": "4096",
            "net.ipv4.ip_local_port_range": "32768 60999",
            "net.ipv4.ip_local_reserved_ports": "",
            "net.ipv4.ip_unprivileged_port_start": "1024",
            "vm.overcommit_memory": "0",
        }
        self.synchronised: bool | None = True
        self.hosts = {"shop.example": ("192.0.2.10",)}
        self.missing_packages: set[str] = set()
        self.programs = {"ruby": "/usr/bin/ruby", "make": "/usr/bin/make"}
        self.kind_of_disk = "ext4"
        self.answers: dict[str, Ran] = {"docker compose version": Ran(0, "Docker Compose version v2.30.0")}

    @property
    def environment(self) -> Mapping[str, str]:
        return self.variables

    @property
    def user_id(self) -> int:
        return self.uid

    @property
    def has_asserts(self) -> bool:
        return self.asserts

    def disk(self, path: Path) -> DiskSpace:
        return self.space

    def file_system(self, path: Path) -> str:
        return self.kind_of_disk

    def memory(self) -> MemorySpace:
        return self.ram

    def open_files(self) -> tuple[int, int]:
        return self.limits

    def kernel(self, name: str) -> str:
        return self.kernel_settings.get(name, "")

    def is_clock_synchronised(self) -> bool | None:
        return self.synchronised

    def addresses_of(self, host: str) -> tuple[str, ...]:
        return self.hosts.get(host, ())

    def package(self, name: str) -> str:
        return "" if name in self.missing_packages else "1.0"

    def program(self, name: str, *, path: str | None = None) -> str:
        return self.programs.get(name, "")

    def run(self, command: Sequence[str], *, seconds: float = 10.0) -> Ran:
        if Path(command[0]).is_absolute():
            return super().run(command, seconds=seconds)
        found = next((ran for words, ran in self.answers.items() if " ".join(command).startswith(words)), None)
        return found or Ran(None, f"no such program: {command[0]}")


@dataclass
class PlantedEngine:
    """What a sound Docker engine tells."""

    host: str = ""
    is_remote: bool = False
    number: str = "29.0.1"
    is_away: bool = False
    images: set[str] = field(default_factory=set)
    containers: dict[str, dict[str, Any]] = field(default_factory=dict)
    info: dict[str, Any] = field(
        default_factory=lambda: {
            "MemTotal": 16 * GIB,
            "MemoryLimit": True,
            "PidsLimit": True,
            "CpuCfsQuota": True,
            "OSType": "linux",
            "NCPU": 4,
            "LiveRestoreEnabled": True,
        }
    )

    def facts(self) -> dict[str, Any]:
        return self.info

    def version(self) -> dict[str, Any]:
        if self.is_away:
            raise UsageError("no Docker engine answers at the usual socket: refused", remedy="start the engine")
        return {"Version": self.number}

    def attributes(self, container: str) -> Mapping[str, Any]:
        return self.containers[container]

    def has_image(self, name: str) -> bool:
        return name in self.images


class World:
    """A sound site. `tables` are the sections of its settings."""

    def __init__(self, folder: Path, *, platform: str = "process") -> None:
        self.folder = folder
        self.machine, self.engine = PlantedMachine(), PlantedEngine()
        self.memory = MemorySite(FakeClock(SYSTEM_CLOCK.wall() - 1_700_000_000.0))
        source = folder / "shop"
        source.mkdir()
        (source / "Dockerfile").write_text("FROM scratch\n")
        (folder / "reports").mkdir()
        self.state = folder / ".cakravia"
        self.state.mkdir(mode=0o700)
        blue, green, users = free_ports(3)
        self.tables: dict[str, dict[str, Any]] = {
            "site": {"name": "shop", "platform": platform, "host": "shop.example"},
            "slots": {"blue": blue, "green": green},
            "proxy": {"listen": f"127.0.0.1:{users}"},
            "app": {"command": ("ruby", "shop.rb"), "source": "shop"},
            "docker": {"context": "shop"} if platform == "docker" else {},
            "contract": {},
            "traffic": {},
            "release": {},
            "budget": {},
        }
        self.hooks: tuple[dict[str, Any], ...] = ()
        self.others: list[subprocess.Popen[bytes]] = []

    def set(self, section: str, **values: Any) -> None:
        self.tables[section].update(values)

    @property
    def settings(self) -> Settings:
        return Settings(root=self.folder, hooks=self.hooks, **self.tables)  # type: ignore[arg-type]

    @property
    def journal(self) -> Path:
        return self.state / "deployment-history.log"

    def site(self) -> Site:
        settings = self.settings
        journal = Journal(settings.history, clock=self.memory.clock)
        lock = Lock(settings.state / "lock")
        return Site(settings, self.memory, MemoryProxy(self.memory), self.memory, journal, lock, self.memory.clock)

    def ground(self) -> Ground:
        return Ground(self.site(), self.machine, self.engine)

    def findings(self, name: str | None = None) -> list[tuple[str, CheckFinding]]:
        """Return what is not fine, each with the name of its check; of one check, or of all."""
        ground = self.ground()
        chosen = [check for check in PREREQUISITES if check.applies(ground.settings) and name in (None, check.name)]
        return [
            (check.name, finding)
            for check in chosen
            for finding in carry_out(check, ground).findings
            if finding.grade is not Grade.OK
        ]

    def end_others(self) -> None:
        """End the programs that a mistake started beside the site."""
        for process in self.others:
            process.kill()
            process.communicate()
        self.others.clear()

    def shrink_disk(self, **values: Any) -> None:
        self.machine.space = replace(self.machine.space, **values)
