"""`cakravia doctor` says what a site needs and what is wrong with it, and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.ports import free_ports

SOUND = """
[site]
name = "shop"
[slots]
blue = {}
green = {}
memory_limit = "32M"
[proxy]
listen = "127.0.0.1:{}"
connections = 512
[app]
command = ["{{python}}", "-m", "http.server"]
"""


def doctor(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [str(Path(sys.executable).with_name("cakravia")), "doctor", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_sound_site_ends_with_status_0_and_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "cakravia.toml").write_text(SOUND.format(*free_ports(3)))
    status, output = doctor(tmp_path, "--json")
    told = json.loads(output)
    assert (status, told["is_ok"], told["causes"]) == (0, True, [])
    assert {row["name"] for row in told["prerequisites"]} >= {"nginx", "ports", "disk", "traffic"}
    assert [path.name for path in tmp_path.iterdir()] == ["cakravia.toml"]


def test_a_mistake_ends_with_status_1_and_says_what_to_do(tmp_path: Path) -> None:
    settings = SOUND.format(*free_ports(3)) + 'source = "nowhere"\n'
    (tmp_path / "cakravia.toml").write_text(settings)
    status, output = doctor(tmp_path)
    assert (status, "PROBLEM" in output, "-> set [app] source to the folder" in output) == (1, True, True), output


def test_wrong_settings_are_a_problem_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "cakravia.toml").write_text("[site]\nnmae = 'shop'\n")
    status, output = doctor(tmp_path)
    assert (status, "cakravia.toml, line 2" in output) == (1, True), output
    status, output = doctor(tmp_path, "--json")
    assert (status, json.loads(output)["prerequisites"][0]["name"]) == (1, "settings")
