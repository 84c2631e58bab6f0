"""Configurations as people have them: in several files, dumped, with unknown directives; and what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.parsing import parse_file, parse_text

DUMP = """nginx: the configuration file /etc/nginx/nginx.conf syntax is ok
nginx: configuration file /etc/nginx/nginx.conf test is successful
# configuration file /etc/nginx/nginx.conf:
http {
    include sites/*.conf;
    include mime.types;
}

# configuration file /etc/nginx/sites/shop.conf:
# the shop
server { listen 80; }

# configuration file /etc/nginx/sites/deep/other.conf:
server { listen 81; }
"""


def places(tree: NginxTree, name: str) -> list[tuple[str, int, str]]:
    return [(each.file, each.line, each.value) for each in tree.root.all(name)]


def test_included_files_stand_in_their_place(tmp_path: Path) -> None:
    (tmp_path / "sites").mkdir()
    (tmp_path / "nginx.conf").write_text("http {\n  include sites/*.conf;\n}\n")
    for name in ("b", "a"):
        (tmp_path / "sites" / f"{name}.conf").write_text(f"\nserver {{ server_name {name}; }}\n")
    tree = parse_file(tmp_path / "nginx.conf")
    files = [str(tmp_path / "sites" / f"{name}.conf") for name in ("a", "b")]
    assert places(tree, "server_name") == [(files[0], 2, "a"), (files[1], 2, "b")]
    assert [each.outer.name for each in tree.root.all("server") if each.outer is not None] == ["http", "http"]


def test_a_dump_is_read_with_the_names_and_lines_of_its_files() -> None:
    tree = parse_text(DUMP)
    assert places(tree, "listen") == [("/etc/nginx/sites/shop.conf", 2, "80")]
    assert tree.unread == ("/etc/nginx/mime.types is not in the dump",)


def test_a_dump_in_a_file_is_read_as_a_dump(tmp_path: Path) -> None:
    (tmp_path / "dump").write_text(DUMP)
    assert places(parse_file(tmp_path / "dump"), "listen") == [("/etc/nginx/sites/shop.conf", 2, "80")]


@pytest.mark.parametrize(
    "text",
    [
        'http { js_import main.js; more_set_headers "X: y"; server { listen 80; } }',
        "load_module modules/x.so; http { brotli on; server { listen 80; sticky cookie a expires=1h; } }",
        "server { listen 80; location ~ ^/a{2}$ { return 200; } }",
        "upstream a { server b; }",
        "location / { proxy_pass http://app; }",
        "http { map $a $b { ~^x{1,2} 1; default 0; } server { listen 80; } }",
        "http{server{listen 80;}}",
        "\ufeff# comment alone\nserver { listen 80; }",
    ],
)
def test_unknown_directives_and_parts_are_no_errors(text: str) -> None:
    assert next(parse_text(text).root.walk())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no directive of nginx"),
        ("# only a comment\n", "no directive of nginx"),
        ("hello world", "no directive of nginx"),
        ('{"a": 1}', "not a configuration|no directive"),
        ("server { listen 80;", "not a configuration.*expecting"),
        ("server { listen 80; } }", "not a configuration.*unexpected"),
        ('server { listen "80; }', "not a configuration.*expecting"),
        ("\0\1\2", "no text"),
        ("server " + "{ location / " * 200, "blocks in each other"),
    ],
)
def test_what_is_no_configuration_is_said_in_words(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_text(text)


def test_a_file_that_cannot_be_read_is_said_in_words(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none", "does not exist"), (tmp_path, "is a folder"), (Path("a\0b"), "exist|name")):
        with pytest.raises(UsageError, match=words):
            parse_file(path)


def test_an_included_file_that_is_missing_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text("include none.conf; include none/*.conf; server { listen 80; }")
    tree = parse_file(tmp_path / "nginx.conf")
    assert [len(tree.unread), len(places(tree, "listen"))] == [1, 1]


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("include b.conf; server { listen 80; }")
    (tmp_path / "b.conf").write_text("include a.conf; server { listen 81; }")
    tree = parse_file(tmp_path / "a.conf")
    assert [each.value for each in tree.root.all("listen")] == ["81", "80"]
    assert "includes itself" in tree.unread[0]
