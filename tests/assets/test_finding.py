"""The files that a version serves are found in its pages and in its artifact."""

from __future__ import annotations

from cakravia_verify.assets.finding import AssetPaths, Fetched, find_assets, follow_pages

SITE = {
    "/": ("text/html", b"<script src=/assets/app.1.js></script><script src=/logo.js></script>"),
    "/assets/app.1.js": ("text/javascript", b"import('./lazy.2.js')"),
    "/assets/lazy.2.js": ("text/javascript", b"'gone.3.js'"),
    "/logo.js": ("text/javascript", b"1"),
    "/assets/unnamed.4.js": ("text/javascript", b"4"),
    "/assets/%5Bslug%5D.js": ("text/javascript", b"5"),
}


def fetch(path: str) -> Fetched | None:
    return Fetched(*SITE[path]) if path in SITE else None


def single_page(path: str) -> Fetched:
    """A single-page application: every unknown path gets the page."""
    return fetch(path) or Fetched(*SITE["/"])


def names(folder: str) -> tuple[str, ...]:
    return {"dist/assets": ("unnamed.4.js", "[slug].js", "not-served.js"), "public": ("x.js",)}.get(folder, ())


def test_files_are_found_in_pages_and_in_the_artifact() -> None:
    for fetcher in (fetch, single_page):
        found = find_assets(AssetPaths(("/assets/",)), ["/", "/missing"], fetcher, names=names)
        assert set(found) == {"/assets/app.1.js", "/assets/lazy.2.js", "/assets/unnamed.4.js", "/assets/[slug].js"}


def test_a_prefix_is_not_only_a_folder() -> None:
    assert set(find_assets(AssetPaths(("/assets/app.",)), ["/"], fetch, names=names)) == {"/assets/app.1.js"}


def test_the_files_of_next_js_are_below_its_build_folder() -> None:
    assert AssetPaths(("/_next/static/",)).folders[".next/static"] == "/_next/static/"


def test_pages_that_name_each_other_for_ever_end() -> None:
    def endless(path: str) -> Fetched:
        return Fetched("text/javascript", f"'/x{len(path)}{path.strip('/')[:40]}.js'".encode())

    assert len(follow_pages(["/a.js"], endless, most=50)) <= 51
