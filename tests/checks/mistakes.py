"""Mistakes that keep a site from working, each with what mends it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from cakravia_verify.history.journal import Journal
from cakravia_verify.slots import Address, Colour
from cakravia_verify.system.machine import MemorySpace, Ran
from cakravia_verify.system.ports import listener
from cakravia_verify.testing.memory import running_slot
from tests.checks.world import World

Act = Callable[[World], object]


@dataclass(frozen=True)
class Mistake:
    """A mistake: how it is planted, which check finds it, what the finding and its remedy name, and the mend."""

    name: str
    check: str
    found: str
    remedy: str
    plant: Act
    mend: Act
    platform: str = "process"


def _certificate(world: World, *, days: int = 90, names: tuple[str, ...] = ("shop.example",), bits: int = 2048) -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=200))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, private = world.folder / "tls.pem", world.folder / "tls.key"
    pem.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    private.chmod(0o600)
    world.set("proxy", tls_listen="127.0.0.1:8443", tls_certificate=str(pem), tls_key=str(private))


def _foreign_key(world: World) -> None:
    _certificate(world)
    certificate = (world.folder / "tls.pem").read_bytes()
    _certificate(world)
    (world.folder / "tls.pem").write_bytes(certificate)


def _nginx(world: World, *, version: str = "1.28.0", built: str = "--with-http_ssl_module") -> None:
    program = world.folder / "nginx"
    program.write_text(
        f"#!/bin/sh\necho 'nginx version: nginx/{version}' >&2\necho 'configure arguments: {built}' >&2\n"
    )
    program.chmod(0o755)
    world.set("proxy", nginx=str(program))


def _busy(world: World, section: str, key: str) -> None:
    """Let another program listen on the port of that setting."""
    port = world.tables[section][key]
    number = port if isinstance(port, int) else int(port.rpartition(":")[2])
    code = f"import socket, time; s = socket.create_server(('127.0.0.1', {number})); print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    world.others.append(process)
    assert str(process.pid) in listener(number)


def _slot_of_another_site(world: World) -> None:
    environment = {
        "DEPLOYMENT_SLOT": "blue",
        "PORT": str(world.tables["slots"]["blue"]),
        "REQUEST_LOG": "/srv/other/.cakravia/slots/blue/requests.log",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); import time; time.sleep(60)"],
        env=environment,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    world.others.append(process)


def _secret(world: World, *, mode: int) -> None:
    file = world.folder / "token"
    file.write_text("0123456789\n")
    file.chmod(mode)
    world.set("contract", headers={"Authorization": "Bearer {file:token}"})


def _compose(world: World, *, has_file: bool = True, service: str = "web") -> None:
    world.set("docker", context="", compose="compose.yml", service=service)
    if has_file:
        (world.folder / "compose.yml").write_text("services:\n  web:\n    image: shop:1\n")


def _interrupted(world: World) -> None:
    journal = Journal(world.journal, clock=world.memory.clock)
    journal.token = 1
    journal.append("release.started", release="r1", kind="deploy", version="v1", slot="blue")


def _finished(world: World) -> None:
    journal = Journal(world.journal, clock=world.memory.clock)
    journal.token = 2
    journal.append("release.finished", release="r1", outcome="rolled back")


def _remote(world: World, ran: Ran) -> None:
    world.set("docker", host="ssh://deploy@vps.example")
    world.machine.answers["ssh"] = ran


def _old_draft(world: World) -> None:
    draft = world.state / ".nginx.conf.77.draft"
    draft.write_text("half")
    os.utime(draft, (time.time() - 86_400,) * 2)


def _running(world: World, colour: Colour, *, port: int) -> None:
    slot = running_slot(colour, "v1")
    world.memory.running[colour] = replace(slot, address=Address("127.0.0.1", port))


def _kernel(world: World, name: str, value: str) -> None:
    world.machine.kernel_settings[name] = value


def _all(*acts: Act) -> Act:
    """Return one act that does several."""

    def act(world: World) -> None:
        for each in acts:
            each(world)

    return act


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


PREREQUISITE_MISTAKES: Final = (
    Mistake("a package is missing", "python", "locust", "pip install",
            lambda w: w.machine.missing_packages.add("locust"), lambda w: w.machine.missing_packages.clear()),
    Mistake("asserts are off", "python", "asserts are off", "unset PYTHONOPTIMIZE",
            lambda w: setattr(w.machine, "asserts", False), lambda w: setattr(w.machine, "asserts", True)),
    Mistake("no command is written", "application", "[app] command is missing", "write it",
            lambda w: w.tables["app"].pop("command"), lambda w: w.set("app", command=("ruby", "shop.rb"))),
    Mistake("the program of the application is missing", "application", "'rubby' is not a program", "correct [app]",
            lambda w: w.set("app", command=("rubby", "shop.rb")), lambda w: w.set("app", command=("ruby", "shop.rb"))),
    Mistake("the program of the build is missing", "application", "'make2' is not a program", "install the program",
            lambda w: w.set("app", build=("make2",)), lambda w: w.machine.programs.update(make2="/usr/bin/make2")),
    Mistake("the source is no folder", "application", "is not a folder", "set [app] source",
            lambda w: w.set("app", source="shopp"), lambda w: w.set("app", source="shop")),
    Mistake("the directory is not in the source", "application", "has no folder 'web'", "set [app] directory",
            lambda w: w.set("app", directory="web"), lambda w: (w.folder / "shop" / "web").mkdir()),
    Mistake("a variable of the shell is missing", "application", "no variable DATABASE_URL", "export it",
            lambda w: w.set("app", pass_environment=("PATH", "DATABASE_URL")),
            lambda w: w.machine.variables.update(DATABASE_URL="postgres://")),
    Mistake("the env_file is missing", "application", "cannot be read", "name a file",
            lambda w: w.set("app", env_file=".env"), lambda w: _write(w.folder / ".env", "NAME=value\n")),
    Mistake("the program of a hook is missing", "hooks", "'notify-team' is not a program", "install the program",
            lambda w: setattr(w, "hooks", ({"at": "after-promote", "command": ("notify-team",), "where": "machine"},)),
            lambda w: w.machine.programs.update({"notify-team": "/usr/bin/notify-team"})),
    Mistake("nginx is not installed where it is named", "nginx", "is not a program", "correct the path",
            lambda w: w.set("proxy", nginx="/opt/nginx"), lambda w: w.set("proxy", nginx="")),
    Mistake("nginx is too old", "nginx", "nginx 1.10.3", "install a newer one",
            lambda w: _nginx(w, version="1.10.3"), _nginx),
    Mistake("nginx loses requests at a reload", "nginx", "nginx 1.22.1", "brings a newer nginx",
            lambda w: _nginx(w, version="1.22.1"), _nginx),
    Mistake("nginx has no module for TLS", "nginx", "http_ssl_module", "an nginx with that module",
            _all(lambda w: _certificate(w), lambda w: _nginx(w, built="--with-http_v2_module")),
            lambda w: _nginx(w, built="--with-http_v2_module --with-http_ssl_module")),
    Mistake("nginx has no module for trusted proxies", "nginx", "http_realip_module", "an nginx with that module",
            _all(lambda w: _nginx(w), lambda w: w.set("proxy", trusted=("10.0.0.1",))),
            lambda w: _nginx(w, built="--with-http_realip_module")),
    Mistake("another program has the port of users", "ports", "is in use by process", "stop that process",
            lambda w: _busy(w, "proxy", "listen"), World.end_others),
    Mistake("another program has the port of a slot", "ports", "is in use by process", "stop that process",
            lambda w: _busy(w, "slots", "green"), World.end_others),
    Mistake("only root may listen on the port", "ports", "only root may listen on port 80", "ip_unprivileged_port",
            _all(lambda w: setattr(w.machine, "uid", 1000), lambda w: w.set("proxy", listen="127.0.0.1:80")),
            lambda w: _kernel(w, "net.ipv4.ip_unprivileged_port_start", "80")),
    Mistake("clients may get the port of a slot", "ports", "to outgoing connections", "ip_local_reserved_ports",
            lambda w: _kernel(w, "net.ipv4.ip_local_port_range", "1025 60999"),
            lambda w: _kernel(w, "net.ipv4.ip_local_reserved_ports", "1025-60999")),
    Mistake("the port of a running slot was changed", "ports", "listens on 127.0.0.1:3999", "set it back",
            lambda w: _running(w, Colour.BLUE, port=3999), lambda w: w.set("slots", blue=3999)),
    Mistake("the disk is nearly full", "disk", "free on the disk", "free space",
            lambda w: w.shrink_disk(free_bytes=2**20), lambda w: w.shrink_disk(free_bytes=2**40)),
    Mistake("the disk has no files left", "disk", "inodes", "remove folders with many small files",
            lambda w: w.shrink_disk(free_files=12), lambda w: w.shrink_disk(free_files=10**6)),
    Mistake("the disk became read-only", "disk", "mounted read-only", "remount,rw",
            lambda w: w.shrink_disk(is_read_only=True), lambda w: w.shrink_disk(is_read_only=False)),
    Mistake("the memory is too small for two slots", "memory", "the machine has 512 MiB", "lower [slots] memory_limit",
            lambda w: setattr(w.machine, "ram", MemorySpace(2**29, 2**28)),
            lambda w: w.set("slots", memory_limit="128M")),
    Mistake("other programs use the memory", "memory", "are available now", "see what uses the memory",
            lambda w: setattr(w.machine, "ram", MemorySpace(2**33, 2**26)),
            lambda w: setattr(w.machine, "ram", MemorySpace(2**33, 2**32))),
    Mistake("too few files can be open for the traffic", "open files", "may open 256 files", "ulimit -Hn",
            lambda w: setattr(w.machine, "limits", (256, 256)), lambda w: setattr(w.machine, "limits", (1024, 65_536))),
    Mistake("too few files can be open for nginx", "open files", "a worker of nginx gets", "raise nofile",
            lambda w: setattr(w.machine, "limits", (1024, 4096)), lambda w: w.set("proxy", connections=1024)),
    Mistake("the clock is free-running", "time", "follows no reference", "timedatectl set-ntp true",
            lambda w: setattr(w.machine, "synchronised", False), lambda w: setattr(w.machine, "synchronised", True)),
    Mistake("everybody can write the state", "state folder", "every user of this machine can write", "chmod o-w",
            lambda w: w.state.chmod(0o777), lambda w: w.state.chmod(0o700)),
    Mistake("the state belongs to another user", "state folder", "belongs to user", "run the command as the owner",
            lambda w: setattr(w.machine, "uid", w.machine.uid + 1),
            lambda w: setattr(w.machine, "uid", w.machine.uid - 1)),
    Mistake("the state is a file", "state folder", "is a file", "move",
            _all(lambda w: w.state.rmdir(), lambda w: w.state.touch()), lambda w: w.state.unlink()),
    Mistake("the state has a path that nginx cannot use", "state folder", "cannot use the path", "set [site] state",
            lambda w: w.set("site", state="my state"), lambda w: w.set("site", state=".cakravia")),
    Mistake("the state is gone after a reboot", "state folder", "is on tmpfs", "a folder on a disk",
            lambda w: setattr(w.machine, "kind_of_disk", "tmpfs"), lambda w: setattr(w.machine, "kind_of_disk", "xfs")),
    Mistake("the state is on a shared disk", "state folder", "is on nfs4", "a folder on a local disk",
            lambda w: setattr(w.machine, "kind_of_disk", "nfs4"), lambda w: setattr(w.machine, "kind_of_disk", "xfs")),
    Mistake("the folder of reports is a file", "reports folder", "is not a folder", "move it away",
            _all(lambda w: (w.folder / "reports").rmdir(), lambda w: (w.folder / "reports").touch()),
            lambda w: (w.folder / "reports").unlink()),
    Mistake("the link to the latest report is a folder", "reports folder", "exists already", "move",
            lambda w: (w.folder / "reports" / "latest").mkdir(), lambda w: (w.folder / "reports" / "latest").rmdir()),
    Mistake("the history has a damaged line", "history", "the history is damaged", "put back a good copy",
            lambda w: _write(w.journal, '{"seq": 1, "ev\n{}\n'), lambda w: w.journal.unlink()),
    Mistake("a release was interrupted", "history", "r1 (v1) was interrupted", "cakravia recover",
            _interrupted, _finished),
    Mistake("a command left a draft", "leftovers", "never finished", "-delete",
            _old_draft, lambda w: (w.state / ".nginx.conf.77.draft").unlink()),
    Mistake("another site has the port of a slot", "leftovers", "of another site", "stop that site",
            _slot_of_another_site, World.end_others),
    Mistake("the certificate expired", "certificate", "it expired on", "renew the certificate",
            lambda w: _certificate(w, days=-1), _certificate),
    Mistake("the certificate expires soon", "certificate", "it expires on", "renew the certificate",
            lambda w: _certificate(w, days=5), _certificate),
    Mistake("the key belongs to another certificate", "certificate", "key values mismatch", "name the right files",
            _foreign_key, _certificate),
    Mistake("the certificate is for another name", "certificate", "is for www.example", "[site] host",
            lambda w: _certificate(w, names=("www.example",)), lambda w: _certificate(w, names=("*.example",))),
    Mistake("everybody can read the key", "certificate", "can read", "chmod 600",
            _all(lambda w: _certificate(w), lambda w: (w.folder / "tls.key").chmod(0o644)),
            lambda w: (w.folder / "tls.key").chmod(0o600)),
    Mistake("the file of the certificate is missing", "certificate", "cannot be read", "name a PEM file",
            lambda w: w.set("proxy", tls_listen="127.0.0.1:8443", tls_certificate="/nowhere", tls_key="/nowhere"),
            _certificate),
    Mistake("the name of the slots does not resolve", "names", "app.internal does not resolve", "/etc/hosts",
            lambda w: w.set("slots", host="app.internal"),
            lambda w: w.machine.hosts.update({"app.internal": ("127.0.0.1",)})),
    Mistake("the name of the site does not resolve", "names", "shop.example does not resolve", "DNS record",
            lambda w: w.machine.hosts.clear(), lambda w: w.machine.hosts.update({"shop.example": ("192.0.2.1",)})),
    Mistake("the file of a header is missing", "secrets", "cannot be read", "one line of ASCII text",
            lambda w: w.set("traffic", headers={"Authorization": "Bearer {file:token}"}),
            lambda w: _secret(w, mode=0o600)),
    Mistake("everybody can read a secret", "secrets", "can read", "chmod 600",
            lambda w: _secret(w, mode=0o644), lambda w: (w.folder / "token").chmod(0o600)),
    Mistake("the queue of connections is short", "kernel", "somaxconn is 128", "sysctl net.core.somaxconn",
            lambda w: _kernel(w, "net.core.somaxconn", "128"), lambda w: _kernel(w, "net.core.somaxconn", "4096")),
    Mistake("ports run out without keep-alive", "kernel", "ports", "set [proxy] keepalive",
            _all(lambda w: w.set("proxy", keepalive=0), lambda w: w.set("traffic", rate=2000.0)),
            lambda w: w.set("proxy", keepalive=32)),
    Mistake("the kernel refuses memory that is only reserved", "kernel", "overcommit_memory is 2",
            "overcommit_memory=0",
            lambda w: _kernel(w, "vm.overcommit_memory", "2"), lambda w: _kernel(w, "vm.overcommit_memory", "0")),
    Mistake("the locustfile is missing", "traffic", "there is no", "write its path",
            lambda w: w.set("traffic", locustfile="load.py"), lambda w: _write(w.folder / "load.py", "")),
    Mistake("the bake is too short to prove anything", "traffic", "are 20 requests", "raise [release] bake",
            _all(lambda w: w.set("release", bake=1.0), lambda w: w.set("traffic", rate=20.0)),
            lambda w: w.set("release", bake=60.0)),
    Mistake("no engine answers", "engine", "no Docker engine answers", "start the engine",
            lambda w: setattr(w.engine, "is_away", True), lambda w: setattr(w.engine, "is_away", False), "docker"),
    Mistake("the engine is too old", "engine", "Docker 18.09.1", "update the engine",
            lambda w: setattr(w.engine, "number", "18.09.1"), lambda w: setattr(w.engine, "number", "27.0.0"),
            "docker"),
    Mistake("the engine cannot limit memory", "engine", "MemoryLimit is false", "cgroup_enable=memory",
            lambda w: w.engine.info.update(MemoryLimit=False), lambda w: w.engine.info.update(MemoryLimit=True),
            "docker"),
    Mistake("the engine has fewer cores than a slot may use", "engine", "has 4 cores", "set [docker] cpus",
            lambda w: w.set("docker", cpus=8.0), lambda w: w.set("docker", cpus=4.0), "docker"),
    Mistake("the engine stops containers when it restarts", "engine", "live-restore is off", "live-restore",
            lambda w: w.engine.info.update(LiveRestoreEnabled=False),
            lambda w: w.engine.info.update(LiveRestoreEnabled=True), "docker"),
    Mistake("ssh does not reach the engine", "ssh", "Permission denied (publickey)", "BatchMode=yes",
            lambda w: _remote(w, Ran(255, "Permission denied (publickey).")), lambda w: _remote(w, Ran(0, "")),
            "docker"),
    Mistake("the Dockerfile is missing", "images", "there is no", "correct [docker] context",
            lambda w: (w.folder / "shop" / "Dockerfile").unlink(),
            lambda w: _write(w.folder / "shop" / "Dockerfile", "FROM scratch\n"), "docker"),
    Mistake("the archive is missing", "images", "there is no file like", "docker save",
            lambda w: w.set("docker", context="", archive="shop-{version}.tar"),
            lambda w: _write(w.folder / "shop-v1.tar", ""), "docker"),
    Mistake("the image may not be pulled and is missing", "images", "the engine has no image shop:1", "docker pull",
            lambda w: w.set("docker", context="", image="shop:1", pull="never"),
            lambda w: w.engine.images.add("shop:1"),
            "docker"),
    Mistake("the compose plugin is missing", "compose", "no docker compose", "install the plugin",
            _all(lambda w: _compose(w), lambda w: w.machine.answers.clear()),
            lambda w: w.machine.answers.update({"docker-compose version": Ran(0, "v2")}), "docker"),
    Mistake("the compose file is missing", "compose", "there is no file", "name the project's compose file",
            lambda w: _compose(w, has_file=False), _compose, "docker"),
    Mistake("the compose file has no such service", "compose", "no service", "service",
            lambda w: _compose(w, service="shop"), lambda w: w.set("docker", service="web"), "docker"),
    Mistake("the file of a Docker secret is missing", "secrets", "there is no file", "write the file",
            lambda w: w.set("docker", secrets={"key": "key.txt"}),
            _all(lambda w: _write(w.folder / "key.txt", "k"), lambda w: (w.folder / "key.txt").chmod(0o600)), "docker"),
    Mistake("a retained image is gone", "images", "is not retained", "cakravia deploy v1",
            lambda w: _running(w, Colour.BLUE, port=3000), lambda w: w.memory.running.clear(), "docker"),
)  # fmt: skip
