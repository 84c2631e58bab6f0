"""`cakravia watch` on a site in containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.platforms.docker.conftest import MakeSite

# tests/plugin/sessions/test_session_terminal.py watches a release of processes by default.
pytestmark = pytest.mark.slow


def test_release_in_containers_is_watched_from_another_process(make_site: MakeSite) -> None:
    site = make_site(application="node_app", base="node", profile="generic", more="")
    nothing = site.cakravia("watch")
    watching = site.begin_cakravia("watch", "--wait", "60")
    released = site.deploy("v1.0.0")
    watched = watching.wait()
    assert (nothing.status, released.status, watched.status) == (5, 0, 0), released.output + watched.output
    assert "bake     ok" in watched.output
    assert "promoted; exit status 0" in watched.output
