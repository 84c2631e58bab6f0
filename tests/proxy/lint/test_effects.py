"""What a reload changes for users is said in words."""

from __future__ import annotations

import pytest

from cakravia_verify.proxy.lint.effects import effects_of, reload_warnings
from cakravia_verify.proxy.lint.parsing import parse_text
from cakravia_verify.proxy.nginx.changes import changes_in_words

SITE = "http {{ keepalive_timeout 75s; server {{ listen 80; server_name shop.example; {} }} }}"
PAGES = "location / { proxy_pass http://app; proxy_read_timeout 60s; }"


def effects(before: str, after: str) -> tuple[str, ...]:
    return effects_of(parse_text(SITE.format(before)), parse_text(SITE.format(after)))


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (f"{PAGES} location /api/ {{ return 410; }}", "shop.example, path /api/ is new: nginx itself answers 410"),
        ("", "shop.example, path / is removed"),
        (PAGES.replace("60s", "500ms"), "shop.example, path /: an answer may take 0.5 s, before 60 s"),
        (f"client_max_body_size 1g; {PAGES}", "shop.example: request bodies may have 1g, before unset"),
        (PAGES.replace("app;", "next;"), "shop.example, path /: requests go to http://next, before http://app"),
        (f"listen 443 ssl; {PAGES}", "shop.example: nginx listens at 80, 443 ssl, before 80"),
        (
            PAGES.replace("/ {", "= / {"),
            "shop.example, exactly / is new: requests go to http://app, an answer may take 60 s",
        ),
    ],
)
def test_what_users_will_see_is_named_with_both_values(after: str, words: str) -> None:
    assert words in effects(PAGES, after)


@pytest.mark.parametrize(
    "after",
    [
        PAGES,
        f"# a comment\n{PAGES}",
        f"{PAGES} location @inner {{ return 502; }}",
        f"{PAGES} location /sub {{ internal; return 200; }}",
        PAGES.replace("60s", "1m"),
        PAGES.replace("{ ", "{ if ($stopped) { return 474; } error_page 474 = @stopped; "),
    ],
)
def test_what_users_do_not_see_is_left_out(after: str) -> None:
    assert effects(PAGES, after) == ()


def test_what_is_gone_is_named() -> None:
    limited = f"limit_req zone=each; {PAGES}"
    assert effects(limited, PAGES) == ("shop.example: no longer: requests are limited: zone=each",)


@pytest.mark.parametrize(
    ("loaded", "words"),
    [
        ("server { location / { proxy_pass http://app; } }", ["closes idle connections"]),
        ("keepalive_min_timeout 5s; server { location / { proxy_pass http://app; } }", []),
        (
            "worker_shutdown_timeout 10s; keepalive_min_timeout 5s; server { location / { proxy_pass http://app; } }",
            ["longer than 10s are cut"],
        ),
        (
            "keepalive_min_timeout 5s; location / { proxy_set_header Upgrade $http_upgrade; proxy_pass http://app; }",
            ["streams stay with the old configuration"],
        ),
    ],
)
def test_what_the_reload_itself_does_is_said(loaded: str, words: list[str]) -> None:
    said = list(reload_warnings(parse_text(loaded)))
    assert [any(word in line for line in said) for word in words] == [True] * len(words)
    assert len(said) == len(words)


def test_a_configuration_that_cannot_be_compared_still_has_its_settings_named() -> None:
    lines = ['# [proxy] max_body = "64m"', '# [proxy] max_body = "1g"']
    assert changes_in_words(lines[0], lines[1]) == ('max_body: "64m" -> "1g"',)
    assert changes_in_words("server {", "server { }") == (
        "another version of the template, of nginx, or of a certificate",
    )
