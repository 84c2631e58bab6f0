"""Every file, function and room that the pages name exists."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import PAGES, ROOT, name_of, prose
from tests.test_rooms import ROOMS

PACKAGE = ROOT / "cakravia_verify"
ARCHITECTURE = ROOT / "docs" / "ARCHITECTURE.md"
# On other pages `release.started` is an entry of the history, and `traffic.curve` is a setting.
ABOUT_CODE = [ARCHITECTURE, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "decisions").glob("*.md"))]
MODULES = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("_")}
# Files of the reader's own.
EXAMPLES = {"load/users.py", "suites/deploy/test_shop.py"}
DATACLASS = "__dataclass_fields__"


def found(dotted: str) -> bool:
    """Whether `room.module.function` (or class, method, field, constant) exists."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        folder = PACKAGE.joinpath(*parts[:end])
        if folder.is_dir() or folder.with_suffix(".py").is_file():
            break
    else:
        return False
    value: Any = import_module(".".join(["cakravia_verify", *parts[:end]]))
    for name in parts[end:]:
        fields = {**getattr(value, DATACLASS, {}), **getattr(value, "model_fields", {})}
        if name in fields:
            return True
        if not hasattr(value, name):
            return False
        value = getattr(value, name)
    return True


@pytest.mark.parametrize("page", ABOUT_CODE, ids=name_of)
def test_every_python_name_of_a_page_exists(page: Path) -> None:
    quoted = re.findall(r"`([a-z_]+(?:\.[A-Za-z_]+)+)`", prose(page))
    named = {each for each in quoted if each.split(".")[0] in MODULES and not each.endswith((".py", ".md", ".toml"))}
    assert not sorted(each for each in named if not found(each))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_of_a_page_exists(page: Path) -> None:
    named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|j2|toml|md|json|pth))`", prose(page))) - EXAMPLES
    named |= set(re.findall(r"\b(docs/[A-Z_]+\.md|CONTRIBUTING\.md|SECURITY\.md)\b", prose(page)))
    ours = {name for name in named if name.split("/")[0] not in ("reports", "ledger")}
    assert not sorted(name for name in ours if not (ROOT / name).exists() and not (PACKAGE / name).exists())


def listed_rooms() -> list[str]:
    table = ARCHITECTURE.read_text(encoding="utf-8").partition("## Rooms")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)


def test_every_room_has_its_line() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert set(listed_rooms()) == {name for name in rooms if not name.startswith("__")}


def test_rooms_are_listed_in_the_order_of_imports() -> None:
    names = [name.removesuffix(".py") for name in listed_rooms()]
    assert names == [room for room in ROOMS if room in names]
