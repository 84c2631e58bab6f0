"""A server that drops exactly K requests, and what the client says it lost."""

from __future__ import annotations

import itertools
import socket
from typing import TYPE_CHECKING

import pytest

from cakravia_verify.traffic.plan.mix import Body, MixEntry

if TYPE_CHECKING:
    from tests.traffic.client.conftest import MakeSender, Serve

pytestmark = pytest.mark.quiet

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
DROPPED_AFTER = {"before headers": 0, "mid headers": 24, "after headers": len(ANSWER) - 5, "mid body": len(ANSWER) - 2}
MOST = 100
# Every K from 0 to 100 is run, spread over the combinations so that the suite stays short; 0, 1 and 100 in each.
COMBINATIONS = [
    pytest.param(method, connection, where, sorted({0, 1, MOST, *range(index % 8, MOST, 8)}))
    for index, (method, connection, where) in enumerate(
        itertools.product(("GET", "POST"), ("fresh", "reused"), DROPPED_AFTER)
    )
]


@pytest.mark.parametrize(("method", "connection", "where", "drops"), COMBINATIONS)
def test_reported_losses_equal_the_requests_the_server_dropped(
    serve: Serve, sender: MakeSender, method: str, connection: str, where: str, drops: list[int]
) -> None:
    dropping = 0

    def handle(accepted: socket.socket, number: int, head: bytes, body: bytes) -> bool:
        # Every second request is dropped, so each drop meets a connection that has answered before.
        if number % 2 and number < 2 * dropping:
            accepted.sendall(ANSWER[: DROPPED_AFTER[where]])
            return False
        accepted.sendall(ANSWER)
        return connection == "reused"

    server = serve(handle)
    headers = (("Connection", "close"),) if connection == "fresh" else ()
    body = Body("text", text="payload") if method == "POST" else Body()
    counted = {}
    for dropping in drops:
        client = sender(server.url, MixEntry("x", method, headers=headers, body=body))
        client.send_all(2 * dropping + 4)
        rows = client.finish()
        lost = [row for row in rows if row.outcome == "lost"]
        assert {int(row.id.rpartition("-")[2]) for row in lost} == set(range(1, 2 * dropping, 2))
        assert {row.reused for row in lost} <= {connection == "reused"}
        counted[dropping] = (len(lost), len(rows) - len(lost))
    assert counted == {dropped: (dropped, dropped + 4) for dropped in drops}
