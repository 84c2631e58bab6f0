"""Builds by the docker program: buildx, else compose, which brings a BuildKit client of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from cakravia_verify.errors import PlatformError
from cakravia_verify.platforms.docker.building.image_build import BuildOutput, ImageBuild
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.system.clock import Deadline

ANSWER_SECONDS: Final = 20.0
BuildWay = Callable[[Engine, ImageBuild, BuildOutput, Deadline], None]


def program() -> BuildWay | None:
    """Return how the docker program of this machine builds with BuildKit, None if it cannot."""
    if answers("docker", "buildx", "version"):
        return build_by_buildx
    if answers("docker", "compose", "version"):
        return build_by_compose
    return None


def build_by_buildx(engine: Engine, build: ImageBuild, output: BuildOutput, deadline: Deadline) -> None:
    command = ["docker", "buildx", "build", "--builder", "default", "--load", "--progress", "plain"]
    command += ["--tag", build.tag, "--file", str(build.context / build.dockerfile)]
    for name, value in build.arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    for name, path in build.secrets.items():
        command += ["--secret", f"id={name},src={path}"]
    for name, variable in build.secret_variables.items():
        command += ["--secret", f"id={name},env={variable}"]
    command += ["--target", build.target] if build.target else []
    command += ["--ssh", "default"] if build.has_ssh else []
    command += ["--platform", build.platform] if build.platform else []
    _run(engine, [*command, str(build.context)], build, output, deadline)


def build_by_compose(engine: Engine, build: ImageBuild, output: BuildOutput, deadline: Deadline) -> None:
    parts: dict[str, Any] = {
        "context": str(build.context),
        "dockerfile": build.dockerfile,
        "args": {name: value.replace("$", "$$") for name, value in build.arguments.items()},
        "target": build.target,
        "secrets": [*build.secrets, *build.secret_variables],
        "ssh": ["default"] if build.has_ssh else [],
        "platforms": [build.platform] if build.platform else [],
    }
    document = {
        "name": "cakravia-build",
        "services": {"app": {"image": build.tag, "build": {key: value for key, value in parts.items() if value}}},
        "secrets": {
            **{name: {"file": str(path)} for name, path in build.secrets.items()},
            **{name: {"environment": variable} for name, variable in build.secret_variables.items()},
        },
    }
    command = ["docker", "compose", "-f", "-", "--project-directory", str(build.context), "--env-file", os.devnull]
    command += ["--progress", "plain", "build"]
    _run(engine, command, build, output, deadline, text=json.dumps(document))


def _run(
    engine: Engine, command: list[str], build: ImageBuild, output: BuildOutput, deadline: Deadline, *, text: str = ""
) -> None:
    """Run the command to its end. Raises PlatformError with its output, or DeadlineExceeded."""
    engine.facts()  # an engine that is away is an error of its own
    process = subprocess.Popen(
        command,
        env=_environment(engine),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    timer = threading.Timer(max(deadline.remaining, 0.1), _end, [process])
    timer.start()
    try:
        with process, contextlib.suppress(BrokenPipeError):
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(text)
            process.stdin.close()
            for line in process.stdout:
                output.add(line)
    finally:
        timer.cancel()
        _end(process)
    if deadline.is_over:
        raise deadline.exceeded(f"building {build.context.name} was stopped", remedy="increase [app] build_timeout")
    if process.returncode != 0:
        raise output.failure(build, output.last_line)


def _end(process: subprocess.Popen[str]) -> None:
    """Kill the program and its plugin."""
    if process.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)


def _environment(engine: Engine) -> Mapping[str, str]:
    """Return the environment in which the program builds on this engine, with default settings."""
    unwanted = ("BUILDX_BUILDER", "COMPOSE_")
    kept = {name: value for name, value in engine.environment.items() if not name.startswith(unwanted)}
    # A description of the build would change the image's id with each build.
    return kept | {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


@cache
def answers(*command: str) -> bool:
    """Return whether the command ends without an error."""
    if not shutil.which(command[0]):
        return False
    try:
        return subprocess.run(command, capture_output=True, timeout=ANSWER_SECONDS, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def require_program() -> BuildWay:
    """Return how the docker program builds. Raises PlatformError if it cannot."""
    if (way := program()) is not None:
        return way
    raise PlatformError(
        "[docker] build_secrets and build_ssh need the docker program with BuildKit on this machine",
        remedy="install docker with its buildx plugin; or build elsewhere and set [docker] image or archive",
    )
