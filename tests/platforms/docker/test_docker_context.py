"""`docker context` names the engine, as it does for the docker program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.platforms.docker.engine.context import chosen_engine
from cakravia_verify.platforms.docker.engine.engine import Engine
from tests.platforms.process.nginx.certificates import make_pair

HOST = "ssh://deploy@shop.example"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The docker program's settings, with the context `shop`."""
    if not shutil.which("docker"):
        pytest.skip("there is no docker program here")
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    docker("context", "create", "shop", "--docker", f"host={HOST}")
    return tmp_path


def docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, capture_output=True, timeout=60)


def test_the_context_in_use_names_the_engine(settings: Path) -> None:
    assert Engine().host == ""
    docker("context", "use", "shop")
    assert Engine().host == HOST
    docker("context", "use", "default")
    assert Engine().host == ""


def test_a_variable_comes_before_the_context_in_use(settings: Path) -> None:
    here = {"DOCKER_CONFIG": str(settings)}
    docker("context", "create", "other", "--docker", "host=unix:///run/other.sock")
    docker("context", "use", "shop")
    assert chosen_engine(here)["DOCKER_HOST"] == HOST
    assert chosen_engine({**here, "DOCKER_CONTEXT": "other"})["DOCKER_HOST"] == "unix:///run/other.sock"
    assert chosen_engine({**here, "DOCKER_CONTEXT": "default"}) == {}
    both = {**here, "DOCKER_CONTEXT": "other", "DOCKER_HOST": "tcp://third:2375"}
    assert chosen_engine(both) == {"DOCKER_HOST": "tcp://third:2375"}


def test_the_setting_comes_before_the_context(settings: Path) -> None:
    docker("context", "use", "shop")
    assert Engine("unix:///run/mine.sock").host == "unix:///run/mine.sock"


def test_an_unknown_context_is_refused_by_name(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with pytest.raises(UsageError, match="the docker context 'gone' names no engine") as raised:
        Engine()
    assert "docker context use" in raised.value.remedy


def test_certificates_of_a_context_are_used(settings: Path, tmp_path: Path) -> None:
    pair = make_pair(tmp_path, "client")
    files = f"ca={pair.certificate},cert={pair.certificate},key={pair.key}"
    docker("context", "create", "tls", "--docker", f"host=tcp://shop.example:2376,{files}")
    chosen = chosen_engine({"DOCKER_CONFIG": str(settings), "DOCKER_CONTEXT": "tls"})
    assert (chosen["DOCKER_HOST"], chosen["DOCKER_TLS_VERIFY"]) == ("tcp://shop.example:2376", "1")
    assert (Path(chosen["DOCKER_CERT_PATH"]) / "key.pem").read_text() == pair.key.read_text()


def test_a_context_without_verification_is_refused(settings: Path, tmp_path: Path) -> None:
    pair = make_pair(tmp_path, "client")
    files = f"skip-tls-verify=true,ca={pair.certificate}"
    docker("context", "create", "blind", "--docker", f"host=tcp://shop.example:2376,{files}")
    with pytest.raises(UsageError, match="'blind' does not verify"):
        chosen_engine({"DOCKER_CONFIG": str(settings), "DOCKER_CONTEXT": "blind"})
