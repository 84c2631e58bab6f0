"""What a page, a script or a style sheet names."""

from __future__ import annotations

import pytest

from cakravia_verify.assets.references import BodyKind, kind_of, local, references

PAGE = b"""<!doctype html><link rel=stylesheet href="/assets/a.css?dpl=v1"><link rel="modulepreload" href=../b.js>
<link rel="canonical" href="/elsewhere"><script src=/a.v1.js></script><a href="/other-page">x</a>
<img src="pic.png" srcset="/s1.png 1x, /s2.png 2x"><script>self.__f.push("/_next/static/chunks/9-1a.js")</script>
<style>@font-face { src: url(/f.woff2) }</style><script src="https://cdn.example/x.js"></script>
<img src="data:image/png;base64,AAAA">"""


def test_a_page_names_what_a_browser_loads_with_it() -> None:
    assert references("/shop/page", kind=BodyKind.HTML, body=PAGE) == [
        "/assets/a.css?dpl=v1",
        "/b.js",
        "/a.v1.js",
        "/shop/pic.png",
        "/s1.png",
        "/s2.png",
        "/_next/static/chunks/9-1a.js",
        "/f.woff2",
    ]


def test_a_script_names_its_lazy_chunks() -> None:
    script = (
        b"""const d=["assets/lazy.1.js"];import("./chunk.2.js");x('/abs.3.css?dpl=v1');y("not a file");`/t.4.wasm`"""
    )
    assert references("/assets/app.js", kind=BodyKind.SCRIPT, body=script) == [
        "/assets/assets/lazy.1.js",
        "/assets/lazy.1.js",
        "/assets/chunk.2.js",
        "/abs.3.css?dpl=v1",
        "/t.4.wasm",
    ]


def test_a_style_sheet_names_fonts_and_imports() -> None:
    style = b"""@import "more.css"; a { b: url('../f.woff2') url(data:x) url(#g) }"""
    assert references("/assets/css/a.css", kind=BodyKind.STYLE, body=style) == [
        "/assets/css/more.css",
        "/assets/f.woff2",
    ]


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("//other.example/a.js", ""),
        ("mailto:a@b", ""),
        ("a b.js", "/p/a b.js"),
        ("/x/../y.js", "/y.js"),
        ("http://[", ""),
    ],
)
def test_a_reference_to_another_site_is_none(reference: str, path: str) -> None:
    assert local("/p/q", reference) == path


@pytest.mark.parametrize("body", [b"", b"\xff\xfe<script src=", b"<script>" + b"'" * 1000, b"<img srcset=','>"])
def test_odd_pages_are_read_without_an_error(body: bytes) -> None:
    for kind in BodyKind:
        assert isinstance(references("/", kind=kind, body=body), list)


def test_the_media_type_comes_before_the_suffix() -> None:
    assert kind_of("/a.js", "text/html; charset=utf-8") is BodyKind.HTML
    assert kind_of("/a.js?x", "") is BodyKind.SCRIPT
    assert kind_of("/a.png", "image/png") is BodyKind.OTHER
