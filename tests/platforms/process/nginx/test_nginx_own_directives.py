"""The project's own nginx directives, and limits for a path."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.slots import Colour
from tests.platforms.process.nginx.conftest import Front, deadline


def snippets(folder: Path, **texts: str) -> dict[str, dict[str, str]]:
    folder.mkdir(parents=True, exist_ok=True)
    given = {}
    for place, text in texts.items():
        file = folder / f"{place}.conf"
        file.write_text(text)
        given[place] = str(file)
    return {"snippets": given}


def test_a_location_of_ones_own_goes_through_the_switch(front: Front, tmp_path: Path) -> None:
    (tmp_path / "robots.txt").write_text("none")
    (tmp_path / "users").write_text("me:{PLAIN}secret\n")
    proxy = front.nginx(
        **snippets(
            tmp_path / "own",
            http="limit_req_zone $binary_remote_addr zone=own:1m rate=1r/m;",
            server="add_header X-Own yes always;",
            locations=f"location = /robots.txt {{ root {tmp_path}; }}\n"
            "location /search {\n  limit_req zone=own;\n  include cakravia_slot.conf;\n}\n"
            f"location /private {{ auth_basic own; auth_basic_user_file {tmp_path}/users;\n"
            "  include cakravia_slot.conf; }",
        )
    )
    proxy.check()
    proxy.start(Colour.BLUE, deadline=deadline())
    assert front.ask("/robots.txt").body == b"none"
    assert front.ask("/search").slot == "blue"
    assert front.ask("/search").status == 503
    proxy.point_at(Colour.GREEN, deadline=deadline())
    for method in ("GET", "POST"):
        assert front.ask("/private", method=method).status == 401
        answered = front.ask("/private", method=method, headers={"Authorization": "Basic bWU6c2VjcmV0"})
        assert (answered.status, answered.slot) == (200, "green")


def test_a_mistake_in_a_snippet_is_refused_with_its_file_and_line(front: Front, tmp_path: Path) -> None:
    front.nginx().start(Colour.BLUE, deadline=deadline())
    before = (front.folder / "nginx.conf").read_text()
    text = "location /own {\n  return 200;\n  rewind;\n}"
    proxy = front.nginx(**snippets(tmp_path, locations=text))
    with pytest.raises(UsageError, match=r"unknown directive \"rewind\" in .*locations.conf, line 3 "):
        proxy.check()
    assert (front.folder / "nginx.conf").read_text() == before
    assert front.ask().slot == "blue"


def test_the_release_says_what_a_reload_changes(front: Front, tmp_path: Path) -> None:
    front.nginx().start(Colour.BLUE, deadline=deadline())
    proxy = front.nginx(max_body="1g", failover=False, **snippets(tmp_path, server="add_header X-Own yes;\n"))
    changes = proxy.changes()
    assert changes[0] == "everywhere: request bodies may have 1g, before 64m"
    assert "X-Own yes" in changes[1]
    assert changes[-2:] == ('max_body: "64m" -> "1g"', "snippets.server: 1 lines")
    assert proxy.refresh(deadline=deadline())
    assert proxy.changes() == ()
    note = front.folder / "nginx.conf.loaded"
    note.write_text("# of an earlier version of this package")
    assert proxy.changes() == ("snippets.server: 1 lines",), "what runs is no configuration that can be compared"
    assert front.ask().headers["X-Own"] == "yes"


def test_a_path_has_limits_of_its_own(front: Front) -> None:
    limits = {"path": "/status/", "max_body": "8k", "read_timeout": 0.3}
    proxy = front.nginx(path=(limits, {"path": "/slow", "read_timeout": 0.3}, {"path": "/big", "max_body": "1m"}))
    proxy.start(Colour.BLUE, deadline=deadline())
    for method in ("POST", "PUT"):
        assert front.ask("/status/200", method=method, body=b"x" * 9000).status == 413
        assert front.ask("/big", method=method, body=b"x" * 9000).slot == "blue"
    began = time.monotonic()
    for method in ("GET", "POST"):
        assert front.ask("/slow", method=method).status == 504
    assert time.monotonic() - began < 15
    assert [each for each in front.blue.seen if "slow" in each] == ["GET /slow", "POST /slow"]


def test_an_unbuffered_body_gets_an_error_at_once_when_the_slot_is_dead(front: Front) -> None:
    proxy = front.nginx(path=({"path": "/up", "request_buffering": False},))
    proxy.start(Colour.BLUE, deadline=deadline())
    proxy.set_failover(allowed=True)
    front.blue.end()
    assert front.ask("/up", method="POST", body=b"x" * 400_000).status == 502
    assert front.ask("/other", method="POST", body=b"x" * 400_000).slot == "green"


@pytest.mark.parametrize(
    ("buffering", "waits"), [({"request_buffering": True}, True), ({"request_buffering": False}, False)]
)
def test_a_body_reaches_the_slot_before_it_is_complete_if_the_path_says_so(
    front: Front, buffering: dict[str, bool], waits: bool
) -> None:
    import http.client

    front.nginx(path=({"path": "/up", **buffering},)).start(Colour.BLUE, deadline=deadline())
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)
    connection.putrequest("POST", "/up")
    connection.putheader("Content-Length", "400000")
    connection.endheaders()
    connection.send(b"x" * 200_000)
    limit = time.monotonic() + (0.5 if waits else 10)
    while not front.blue.seen and time.monotonic() < limit:
        time.sleep(0.02)
    assert bool(front.blue.seen) is not waits
    connection.send(b"x" * 200_000)
    assert connection.getresponse().status == 200
    connection.close()
