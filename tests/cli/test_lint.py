"""`cakravia lint` on files, dumps and standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cakravia_verify.cli.main import main

GOOD = "events { worker_connections 4096; }\nhttp { server { listen 80; return 301 https://shop.example; } }\n"
BAD = "location = /health { return 200; }\nlocation / { proxy_pass http://127.0.0.1:1; }\n"


@pytest.fixture(autouse=True)
def no_gixy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whether another linter is installed must not matter here."""
    monkeypatch.setenv("PATH", str(tmp_path))


def lint(*arguments: str, text: str = "") -> Result:
    return CliRunner().invoke(main, ["lint", *arguments], input=text)


def test_a_good_file_ends_with_0_and_a_bad_one_with_1(tmp_path: Path) -> None:
    (tmp_path / "good.conf").write_text(GOOD)
    (tmp_path / "bad.conf").write_text(BAD)
    assert lint(str(tmp_path / "good.conf")).exit_code == 0
    done = lint(str(tmp_path / "bad.conf"))
    assert (done.exit_code, f"{tmp_path}/bad.conf:1: error: health-by-proxy" in done.output) == (1, True), done.output


def test_standard_input_is_read_for_a_dash() -> None:
    done = lint("-", text=f"# configuration file /etc/nginx/nginx.conf:\nserver {{\n{BAD}}}")
    assert (done.exit_code, "/etc/nginx/nginx.conf:2: error: health-by-proxy" in done.output) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("none.conf",), ""),
        (("/",), ""),
        (("-",), ""),
        (("-",), "server {"),
        (("-", "--app-idle", "soon"), GOOD),
        (("-", "--largest-body", "20 apples"), GOOD),
        (("-", "--nginx", "new"), GOOD),
    ],
)
def test_wrong_use_ends_with_4_in_words(arguments: tuple[str, ...], text: str) -> None:
    done = lint(*arguments, text=text)
    assert (done.exit_code, "->" in done.output, "Traceback" in done.output) == (4, True, False), done.output


def test_json_and_sarif_are_json() -> None:
    assert json.loads(lint("-", "--format", "json", text=BAD).output)["is_ok"] is False
    assert json.loads(lint("-", "--format", "sarif", text=BAD).output)["version"] == "2.1.0"


def test_what_the_operator_knows_decides() -> None:
    text = "location / { client_max_body_size 5m; proxy_read_timeout 30s; proxy_pass http://127.0.0.1:1; }"
    for option, value, rule in (("--largest-body", "20m", "body-limit"), ("--grace", "10s", "read-timeout-over-grace")):
        assert rule not in lint("-", text=text).output
        assert rule in lint("-", option, value, text=text).output
    assert "truncation-hidden" in lint("-", "--nginx", "1.26.3", text=text).output
    assert "truncation-hidden" not in lint("-", "--nginx", "1.31.3", text=text).output


def test_what_gixy_finds_is_listed_and_does_not_decide(tmp_path: Path) -> None:
    row = {"plugin": "alias_traversal", "severity": "HIGH", "file": "x.conf", "line": 3, "summary": "Path traversal"}
    program = tmp_path / "gixy"
    program.write_text(f"#!{sys.executable}\nprint('''{json.dumps([row])}''')\nraise SystemExit(1)\n")
    program.chmod(0o755)
    done = lint("-", text=GOOD)
    assert (done.exit_code, "x.conf:3: note: gixy:alias_traversal" in done.output) == (0, True), done.output
    program.write_text(f"#!{sys.executable}\nraise SystemExit(2)\n")
    failed = lint("-", text=GOOD)
    assert (failed.exit_code, "gixy could not read it" in failed.output) == (0, True), failed.output
