"""Commands that an operator types in a hurry import no library that they do not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Each takes 20 to 300 ms to import.
HEAVY = {
    "cryptography",
    "docker",
    "dotenv",
    "duckdb",
    "gevent",
    "httpcore",
    "httpx",
    "jinja2",
    "locust",
    "pathspec",
    "prometheus_client",
    "pytest",
    "requests",
    "rich",
    "trio",
    "yaml",
}
PROGRAM = """
import sys
from cakravia_verify.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print("imported", *sys.modules)
"""


@pytest.mark.parametrize("command", ["--help", "status", "history"])
def test_a_quick_command_imports_no_heavy_library(command: str, tmp_path: Path) -> None:
    (tmp_path / "cakravia.toml").write_text("")
    arguments = ["--site", str(tmp_path / "cakravia.toml"), command]
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "imported" in ended.stdout, ended.stderr
    imported = {name.partition(".")[0] for name in ended.stdout.partition("imported")[2].split()}
    assert imported & HEAVY == set()
    assert "cakravia_verify.plugin" not in ended.stdout
