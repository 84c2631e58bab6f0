"""The project's own nginx directives are checked before nginx sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.proxy.snippets import explain, objections, read_snippets
from cakravia_verify.settings.own_nginx import SnippetSettings

REFUSED = [
    ("http", "open_file_cache max=1000;"),
    ("locations", "location /x { proxy_pass http://blue; }"),
    ("locations", "location /x {\n  proxy_pass http://green/y;\n}"),
    ("locations", "location /x { proxy_next_upstream error non_idempotent; }"),
    ("locations", "location /x { set $slot green; }"),
    ("locations", "location ^~ /.cakravia/x { return 200; }"),
    ("server", "access_log off;"),
    ("server", "return 301 https://$host$request_uri;"),
    ("server", "if ($scheme = http) {}\nrewrite ^ /x;"),
]
PERMITTED = [
    ("http", "open_file_cache off;"),
    ("http", "# open_file_cache max=1;"),
    ("server", "location /x { return 200; }"),
    ("server", "location /x {\n  return 200;\n}"),
    ("locations", "location /x { proxy_pass http://127.0.0.1:9000; }"),
    ("locations", "location /x { set $slots 1; access_log off; }"),
]


@pytest.mark.parametrize(("place", "text"), REFUSED)
def test_what_a_release_cannot_work_with_is_refused(place: str, text: str) -> None:
    assert list(objections(place, text))


@pytest.mark.parametrize(("place", "text"), PERMITTED)
def test_other_directives_are_permitted(place: str, text: str) -> None:
    assert list(objections(place, text)) == []


def test_a_refusal_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "own.conf"
    file.write_text("# mine\nopen_file_cache max=1;\n")
    with pytest.raises(UsageError, match=r"own.conf, line 2: open_file_cache"):
        read_snippets(SnippetSettings(http=str(file)))
    with pytest.raises(UsageError, match=r"cannot be read"):
        read_snippets(SnippetSettings(server=str(tmp_path / "none.conf")))


def test_nginx_own_message_is_told_with_the_file_of_the_snippet() -> None:
    configuration = "a\n# snippet http: /p/own.conf\nb\nc\n# end of snippet\nd\n"
    told = explain("17:35:52 [emerg] 3#3: bad in /n/nginx.conf:4", configuration)
    assert told == "17:35:52 [emerg] 3#3: bad in /p/own.conf, line 2 ([proxy.snippets] http)"
    for other in ("bad in /n/nginx.conf:6", "bad in /n/nginx.conf:1", "bad"):
        assert explain(other, configuration) == other
