"""A traffic mix from an access log."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.settings.traffic_mix import MixTable
from cakravia_verify.setup.access_log import folded, mix_from_log, mix_of_lines

GET = frozenset({"GET"})


def line(request: str, status: int = 200) -> str:
    return f'203.0.113.9 - ann [29/Nov/2026:10:00:00 +0000] "{request} HTTP/1.1" {status} 512 "-" "Mozilla/5.0 (X11)"\n'


def test_numbers_and_ids_are_folded_and_frequency_is_the_weight() -> None:
    lines = [line(f"GET /item/{number}") for number in (7, 7, 8, 9)] + [line("GET /about"), line("GET /about")]
    mix = mix_of_lines(lines, methods=GET, source="log")
    assert [(table["name"], table["path"], table["weight"]) for table in mix] == [
        ("GET /item/*", "/item/7", 2.0),
        ("GET /about", "/about", 1.0),
    ]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/users/42/orders/7", "/users/*/orders/*"),
        ("/o/123e4567-e89b-12d3-a456-426614174000", "/o/*"),
        ("/c/9f86d081884c7d65", "/c/*"),
        ("/s/aZ3kdl29dkLs02kdlsQ1", "/s/*"),
        ("/how-to-brew-good-green-tea", "/how-to-brew-good-green-tea"),
        ("/v2/items", "/v2/items"),
    ],
)
def test_part_of_a_path_that_is_an_id(path: str, kind: str) -> None:
    assert folded(path) == kind


def test_only_answered_get_requests_count_and_queries_are_left_out() -> None:
    lines = [
        line("GET /a?token=secret"),
        line("POST /a"),
        line("GET /b", 302),
        line("GET /c", 404),
        line("GET /_next/static/chunks/1a2b3c4d5e.js"),
        line("GET /assets/main-8f3a9c21.css"),
        "garbage\n",
        line("GET http://evil/ x"),
    ]
    assert [table["path"] for table in mix_of_lines(lines, methods=GET, source="log")] == ["/a"]


def test_posts_are_taken_only_if_wanted() -> None:
    mix = mix_of_lines([line("POST /cart/9", 201)], methods=GET | {"POST"}, source="log")
    assert mix == ({"name": "POST /cart/*", "path": "/cart/9", "weight": 1.0, "method": "POST", "expect": [201]},)


def test_every_table_of_a_mix_is_a_valid_setting() -> None:
    lines = [line(f"{method} /x{kind}", 200) for method in ("GET", "POST") for kind in range(30)]
    for table in mix_of_lines(lines, methods=GET | {"POST"}, source="log"):
        MixTable(**table)


@pytest.mark.parametrize("text", ["", "no log at all\n", line("GET /gone", 404)], ids=["empty", "garbage", "no page"])
def test_log_without_pages_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"access\.log has no"):
        mix_from_log(path)


def test_missing_log_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        mix_from_log(tmp_path / "gone.log")
