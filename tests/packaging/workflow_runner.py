"""Executes the `run:` steps of a workflow in their order, with the environment that a runner of GitHub gives them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cakravia_verify.system.clock import Deadline, poll

# What a runner sends to the process of a step when its job is cancelled, and the seconds that it waits after each.
CANCELLATION = ((signal.SIGINT, 7.5), (signal.SIGTERM, 2.5), (signal.SIGKILL, 5.0))
LONGEST_STEP = 120.0
SHELLS = {
    "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"],
    "python": [sys.executable],
}


@dataclass
class Runner:
    """One job on a fresh machine: `folder` has its temporary files, `workspace` the checkout.

    `contexts` are those of expressions, such as `vars` and `secrets`. After a job, `results` has each step that ran
    with its exit status, `output` what they printed, and `summary` the job summary.
    """

    folder: Path
    workspace: Path
    contexts: Mapping[str, Mapping[str, Any]]
    variables: dict[str, str]
    results: dict[str, int] = field(default_factory=dict)
    output: str = ""

    @property
    def summary(self) -> str:
        return self._file("GITHUB_STEP_SUMMARY").read_text()

    def run(self, job: Mapping[str, Any], *, cancel: tuple[str, Callable[[], bool]] | None = None) -> str:
        """Run the steps of a job and return its result. `cancel` names a step, and when the job is cancelled in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "temp").mkdir()
        self.variables |= {name: str(self.value(text)) for name, text in job.get("env", {}).items()}
        result = "success"
        for step in job["steps"]:
            if "run" not in step or not self._is_due(step.get("if", ""), result):
                continue
            name = step["name"]
            process = self._begin(step)
            if cancel and name == cancel[0]:
                poll(cancel[1], deadline=Deadline("the moment of the cancellation", LONGEST_STEP))
                cancel_step(process)
                result = "cancelled"
            status = self.results[name] = process.wait(LONGEST_STEP)
            if status and result == "success":
                result = "failure"
            self.output += f"--- {name}: {status}\n{self._log(name).read_text(errors='replace')}"
        return result

    def value(self, text: Any) -> Any:
        """Return a text with its expressions replaced by their values."""
        return re.sub(r"\$\{\{ (.+?) \}\}", lambda found: str(self._evaluated(found[1])), str(text))

    def _evaluated(self, expression: str) -> Any:
        for part in expression.split(" || "):
            if part.startswith("'"):
                return part.strip("'")
            value: Any = {**self.contexts, "env": self.variables}
            for name in part.split("."):
                value = value.get(name, "") if isinstance(value, Mapping) else ""
            if value:
                return value
        return ""

    def _is_due(self, condition: str, result: str) -> bool:
        if condition == "always()":
            return True
        name, _, wanted = condition.partition(" == ")
        return result == "success" and (not condition or self._evaluated(name) == wanted.strip("'"))

    def _begin(self, step: Mapping[str, Any]) -> subprocess.Popen[bytes]:
        self._take_over()
        script = self.folder / "script"
        script.write_text(step["run"])
        own = {name: str(self.value(text)) for name, text in step.get("env", {}).items()}
        files = {name: str(self._file(name)) for name in ("GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")}
        with self._log(step["name"]).open("wb") as log:
            return subprocess.Popen(
                [*SHELLS[step.get("shell", "bash")], script],
                cwd=self.workspace,
                env=self.variables | own | files | {"RUNNER_TEMP": str(self.folder / "temp")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _take_over(self) -> None:
        """Give what a step wrote into GITHUB_ENV and GITHUB_PATH to all later steps."""
        for line in self._file("GITHUB_ENV").read_text().splitlines():
            name, _, value = line.partition("=")
            self.variables[name] = value
        for folder in self._file("GITHUB_PATH").read_text().splitlines():
            self.variables["PATH"] = f"{folder}{os.pathsep}{self.variables['PATH']}"
        self._file("GITHUB_ENV").write_text("")
        self._file("GITHUB_PATH").write_text("")

    def _file(self, name: str) -> Path:
        path = self.folder / name
        path.touch()
        return path

    def _log(self, name: str) -> Path:
        return self.folder / f"{name.replace(' ', '-')}.log"


def cancel_step(process: subprocess.Popen[bytes]) -> None:
    """Send what a runner sends, to the process of the step alone."""
    for number, seconds in CANCELLATION:
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        return
