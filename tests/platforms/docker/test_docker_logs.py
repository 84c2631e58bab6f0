"""Growing files of a container, followed into files of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.engine.files import RemoteLog
from tests.platforms.docker.docker_stage import base_of

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

# As a busy engine does: the command's output ends early, and its status is 0.
ENDS_EARLY = {"nothing": "exit 0", "a-part": 'exec /usr/bin/tail "$@" | head -c 3'}


@pytest.fixture(params=ENDS_EARLY)
def container(client: DockerClient, request: pytest.FixtureRequest) -> Iterator[Container]:
    stub = f"printf '#!/bin/sh\\n{ENDS_EARLY[request.param]}\\n' > /usr/local/bin/tail && chmod +x /usr/local/bin/tail"
    made = client.containers.run(
        base_of("python"), ["sh", "-c", f"{stub} && touch /log && exec sleep 600"], detach=True, init=True
    )
    yield made
    made.remove(force=True)


def test_a_log_is_copied_completely_though_the_engine_sent_a_part(container: Container, tmp_path: Path) -> None:
    log = RemoteLog(Engine(), "/log", copy=tmp_path / "copy")
    log.follow(container)
    for lines in ("one\ntwo\n", "three\n"):
        status, _ = container.exec_run(["sh", "-c", f"printf '{lines}' >> /log"])
        assert status == 0
        container.reload()
        log.follow(container)
    assert (tmp_path / "copy").read_text() == "one\ntwo\nthree\n"
