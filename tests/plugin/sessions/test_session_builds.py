"""A release whose build fails: the report has all that the build wrote."""

from __future__ import annotations

from pathlib import Path

from tests.plugin.sessions.shop import Shop

BUILD = 'app.build=["sh", "-c", "echo compiling; echo \'cart.ts: error TS1\' >&2; seq 1 99; exit 2"]'


def test_the_report_of_a_failed_build_has_its_whole_output(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "site")
    try:
        ended = shop.deploy("v1.0.0", "--set", BUILD)
        assert ended.status == 1, ended.output
        assert "cart.ts: error TS1" in ended.output
        kept = (shop.folder / "reports" / "latest" / "build.log").read_text().splitlines()
        assert kept == ["compiling", "cart.ts: error TS1", *map(str, range(1, 100))]
    finally:
        assert shop.tear_down() == []
