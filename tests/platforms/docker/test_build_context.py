"""A build that gets what releases write is told so."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.platforms.docker.building.context import notes_on_context


@pytest.mark.parametrize(
    ("ignored", "named"),
    [
        ("", [".cakravia", "reports"]),
        ("# ours\n.cakravia\nreports\n", []),
        (".*\n**/reports\n", []),
        ("*\n!reports\n", ["reports"]),
    ],
)
def test_a_build_that_gets_the_state_or_the_reports_is_told_so(tmp_path: Path, ignored: str, named: list[str]) -> None:
    (tmp_path / ".dockerignore").write_text(ignored)
    notes = list(notes_on_context(tmp_path, [tmp_path / ".cakravia", tmp_path / "reports", Path("/elsewhere")]))
    assert len(notes) == bool(named)
    assert all(name in note for name in named for note in notes)
