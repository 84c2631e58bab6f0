"""What the end of a container says: a shell that keeps the signal, a server that ignores it, no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.slot_end import (
    has_shell_in_front,
    is_shell_in_front,
    out_of_memory,
    remarks_of,
    stop_in_grace,
)
from cakravia_verify.system.clock import Deadline, poll
from tests.platforms.docker.docker_stage import base_of

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    Run = Callable[..., Container]

# Ends half a second after its signal.
CLEAN = (
    "import signal, sys, time; "
    "signal.signal(signal.SIGTERM, lambda *_: (print('finishes'), time.sleep(0.5), print('done'), sys.exit())); "
    "print('up'); time.sleep(600)"
)
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


@pytest.fixture
def run(client: DockerClient) -> Iterator[Run]:
    """Start containers that are gone after the test."""
    started = []

    def run(*command: str, **options: Any) -> Container:
        name = f"cakravia-test-{uuid4().hex[:8]}"
        container = client.containers.run(base_of("python"), list(command), name=name, detach=True, **options)
        started.append(container)
        return container

    yield run
    for container in started:
        container.remove(force=True)


@pytest.mark.parametrize("init", [True, False])
def test_a_shell_that_keeps_sigterm_from_the_server_is_noticed(run: Run, init: bool) -> None:
    container = run("sh", "-c", f'python3 -c "{DEAF}"; true', init=init)
    poll(lambda: b"up" in container.logs(), deadline=Deadline("it runs", 20), every=0.1)
    assert has_shell_in_front(Engine(""), container)
    container.stop(timeout=1)
    container.reload()
    (remark,) = remarks_of(container, has_shell=True, grace=1)
    assert "`exec`" in remark


@pytest.mark.parametrize("init", [True, False])
def test_a_server_behind_a_shell_has_its_grace_and_is_not_started_again(run: Run, init: bool) -> None:
    container = run(
        "sh", "-c", f'sh -c "python3 -u -c \\"{CLEAN}\\"; true"; true', init=init, restart_policy={"Name": "always"}
    )
    poll(lambda: b"up" in container.logs(), deadline=Deadline("it runs", 20), every=0.1)
    remarks = stop_in_grace(Engine(""), container, deadline=Deadline("it ends", 20), grace=10)
    assert container.logs().decode().splitlines() == ["up", "finishes", "done"]
    assert "told directly" in remarks[0]
    container.reload()
    assert (container.status, container.attrs["RestartCount"]) == ("exited", 0)


def test_a_server_that_ignores_its_stop_signal_is_told(run: Run) -> None:
    container = run("python3", "-c", DEAF, init=True)
    poll(lambda: b"up" in container.logs(), deadline=Deadline("it runs", 20), every=0.1)
    assert not has_shell_in_front(Engine(""), container)
    container.stop(timeout=1)
    container.reload()
    (remark,) = remarks_of(container, has_shell=False, grace=1)
    assert "did not end within 1 s" in remark


def test_a_container_without_memory_is_told_so_by_the_name_of_the_setting(run: Run) -> None:
    container = run("python3", "-c", "x = b'x' * (200 << 20)", mem_limit="40m", memswap_limit="40m")
    container.wait(timeout=30)
    container.reload()
    (line,) = out_of_memory(container, limit="40M")
    assert '[slots] memory_limit = "40M"' in line
    assert remarks_of(container, has_shell=False, grace=1) == []


@pytest.mark.parametrize(
    ("rows", "is_one"),
    [
        ([("1", "0", "sh"), ("7", "1", "node")], True),
        ([("1", "0", "docker-init"), ("7", "1", "bash"), ("8", "7", "python3")], True),
        ([("1", "0", "docker-init"), ("7", "1", "python3"), ("8", "7", "sh")], False),
        ([("1", "0", "sh")], False),
        ([], False),
    ],
)
def test_only_a_shell_that_waits_for_a_server_is_in_front_of_it(rows: list[tuple[str, ...]], is_one: bool) -> None:
    assert is_shell_in_front(rows) is is_one
