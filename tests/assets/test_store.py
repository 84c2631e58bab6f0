"""Kept files of versions, with retention by age."""

from __future__ import annotations

from pathlib import Path

from cakravia_verify.assets.store import AssetStore

DAY = 86_400.0


def stored(folder: Path) -> set[bytes]:
    return {place.read_bytes() for place in (folder / "files").iterdir()}


def lacking(store: AssetStore, key: str) -> dict[str, bytes]:
    return {path: place.read_bytes() for path, place in store.lacking(key).items()}


def test_a_version_lacks_what_only_others_have(tmp_path: Path) -> None:
    store = AssetStore(tmp_path)
    store.add("one", {"/a.1.js": b"1", "/logo.png": b"old"}, now=0.0)
    store.add("two", {"/a.2.js": b"2", "/logo.png": b"new"}, now=1.0)
    store.save(now=1.0, keep=DAY, needed=())
    again = AssetStore(tmp_path)
    assert lacking(again, "two") == {"/a.1.js": b"1"}
    assert lacking(again, "one") == {"/a.2.js": b"2"}
    assert lacking(again, "three") == {"/a.1.js": b"1", "/a.2.js": b"2", "/logo.png": b"new"}


def test_files_of_a_version_last_used_too_long_ago_are_deleted(tmp_path: Path) -> None:
    store = AssetStore(tmp_path)
    store.add("one", {"/a.1.js": b"1", "/same.js": b"same"}, now=0.0)
    store.add("two", {"/a.2.js": b"2", "/same.js": b"same"}, now=DAY)
    store.save(now=DAY, keep=DAY, needed=())
    assert stored(tmp_path) == {b"1", b"2", b"same"}
    store.save(now=2 * DAY - 1, keep=DAY, needed=("two",))
    assert stored(tmp_path) == {b"2", b"same"}
    store.save(now=9 * DAY, keep=DAY, needed=("two",))
    assert AssetStore(tmp_path).has("two", "/a.2.js")


def test_a_damaged_index_is_empty(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text('{"one": {"seen": "x"}}')
    assert not AssetStore(tmp_path).knows("one")
