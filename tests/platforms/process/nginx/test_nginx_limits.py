"""What the real nginx can carry, and what happens past its limits."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from cakravia_verify.platforms.process.nginx import LocalNginx
from cakravia_verify.proxy.nginx.render import worker_limits
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import poll
from tests.platforms.process.nginx.conftest import Front, deadline

LARGE = 40_000_000


def soft_limit_of_workers(front: Front) -> set[int]:
    return {int(worker.rlimit(psutil.RLIMIT_NOFILE)[0]) for worker in psutil.Process(front.master).children()}


def test_a_shells_soft_limit_of_open_files_does_not_bind_workers(front: Front) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 20_000:
        pytest.skip("the hard limit of open files is below 20,000 here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        front.nginx(connections=12_000).start(Colour.BLUE, deadline=deadline())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert soft_limit_of_workers(front) == {12_000 + 6_000 + 64}


@pytest.mark.parametrize("open_files", [256, 1024, 4096, 20_000, 2**30])
def test_workers_run_out_of_connections_before_they_run_out_of_files(open_files: int) -> None:
    limits = worker_limits(ProxySettings(), open_files=open_files)
    assert limits.files <= open_files
    assert limits.connections * 3 // 2 < limits.files


def test_past_the_limit_a_request_gets_a_clear_page_at_once(front: Front) -> None:
    front.nginx(connections=256, workers=1).start(Colour.BLUE, deadline=deadline())
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(130))
        asked = [pool.submit(first_line, front.port, "/slow") for _ in range(130)]
        poll(lambda: sum(each.done() for each in asked) >= 15, deadline=deadline(), every=0.05)
        front.blue.may_go_on.set()
        answers = [each.result() for each in asked]
    assert set(answers) == {"HTTP/1.1 200 OK", "HTTP/1.1 503 Service Temporarily Unavailable"}
    assert front.ask("/").status == 200


def first_line(port: int, path: str) -> str:
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as user:
        try:
            user.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return user.makefile("rb").readline().decode().strip() or "closed"
        except ConnectionError:
            return "closed"


def test_clients_that_send_no_whole_request_do_not_take_the_site(front: Front) -> None:
    front.nginx(connections=256, workers=1, header_timeout=0.5).start(Colour.BLUE, deadline=deadline())
    with contextlib.ExitStack() as stack:
        for _ in range(150):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", front.port), timeout=10))
            slow.sendall(b"GET / HTTP/1.1\r\nHost")
        assert front.ask("/").status == 200
        poll(lambda: slow.recv(100) != b"?", deadline=deadline(), every=0.05)
        for _ in range(150):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", front.port), timeout=10))
            slow.sendall(b"GET / HTTP/1.1\r\nHost")
        assert front.ask("/").status == 200


def test_one_address_may_have_no_more_requests_than_the_settings_permit(front: Front) -> None:
    front.nginx(connections_per_address=3, workers=1).start(Colour.BLUE, deadline=deadline())
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(front.ask, "/slow") for _ in range(3)]
        poll(lambda: len(front.blue.seen) == 3, deadline=deadline(), every=0.02)
        assert front.ask("/").status == 503
        front.blue.may_go_on.set()
        assert [each.result().status for each in waiting] == [200] * 3
    assert front.ask("/").status == 200


def test_parallel_uploads_arrive_whole_and_leave_no_line_in_the_error_log(front: Front, running: LocalNginx) -> None:
    body = os.urandom(LARGE // 4)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: front.ask("/", method="POST", body=body), range(6)))
    assert [json.loads(answer.body)["received"] for answer in answers] == [len(body)] * 6
    assert (front.folder / "error.log").read_text() == ""
