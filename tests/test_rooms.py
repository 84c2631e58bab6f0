"""Imports point down only, and what patches or burdens a process is imported only where it may."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "cakravia_verify"
# From the top down; a room imports itself and the rooms below it.
ROOMS = (
    "api",
    "plugin",
    "cli",
    "fleet",
    "monitor",
    "runs",
    "setup",
    "checks",
    "faults",
    "recovery",
    "report",
    "analysis",
    "traffic",
    "release",
    "site",
    "testing",
    "assets",
    "platforms",
    "history",
    "health",
    "proxy",
    "settings",
    "system",
    "stats",
    "gate",
    "kinds",
    "slots",
    "errors",
    "command_options",
    "foreign_text",
)
ALLOWED = {
    "pytest": ("cakravia_verify/plugin/",),
    "_pytest": ("cakravia_verify/plugin/",),
    "docker": ("cakravia_verify/platforms/docker/", "cakravia_verify/platforms/swarm/"),
    "locust": ("cakravia_verify/traffic/generator/",),
    "gevent": ("cakravia_verify/traffic/client/", "cakravia_verify/traffic/generator/"),
}
MODULES = sorted((ROOT / PACKAGE).rglob("*.py"))


def level_of(room: str) -> int:
    assert room in ROOMS, f"{room} is no room: name it in ROOMS, at its level"
    return ROOMS.index(room)


@cache
def imported(path: Path, *, include_types: bool = True) -> tuple[tuple[str, int], ...]:
    """Every module that a file imports, wherever in it, with the line; those for annotations alone where wanted."""
    return tuple(_imported(path, include_types=include_types))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def statements(block: ast.AST, *, include_types: bool = True) -> Iterator[ast.AST]:
    """Every statement below the block, without the expressions, which are most of a tree."""
    for name in ("body", "handlers", "orelse", "finalbody", "cases"):
        is_for_types = isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        if is_for_types and name == "body" and not include_types:
            continue
        for node in getattr(block, name, ()):
            yield node
            yield from statements(node, include_types=include_types)


def _imported(path: Path, *, include_types: bool) -> Iterator[tuple[str, int]]:
    for node in statements(tree_of(path), include_types=include_types):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(path.relative_to(ROOT).with_suffix("").parts[: -node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module or "")))
            yield module, node.lineno
            if module == PACKAGE or module.count(".") == 1:
                yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
    return parts[0]


def rooms_imported(path: Path) -> Iterator[tuple[str, int]]:
    for module, line in imported(path):
        parts = module.split(".")
        if parts[0] == PACKAGE and len(parts) > 1 and not parts[1].startswith("__"):
            yield parts[1], line


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_down_only(room: str) -> None:
    upward = [
        f"{path.relative_to(ROOT)}, line {line}: {room} imports {other}"
        for path in MODULES
        if room_of(path) == room
        for other, line in rooms_imported(path)
        if level_of(other) < level_of(room)
    ]
    assert not upward


def test_every_module_is_in_a_room() -> None:
    assert {room_of(path) for path in MODULES if not room_of(path).startswith("__")} <= set(ROOMS)


@pytest.mark.parametrize("name", ALLOWED)
def test_a_library_that_takes_over_a_process_is_imported_only_in_its_place(name: str) -> None:
    elsewhere = [
        f"{path.relative_to(ROOT)}, line {line}"
        for path in MODULES
        for module, line in imported(path)
        if module.split(".")[0] == name and not path.relative_to(ROOT).as_posix().startswith(ALLOWED[name])
    ]
    assert not elsewhere


def reached_from(start: set[Path]) -> set[Path]:
    """Every file of the package that importing these imports in turn."""
    reached: set[Path] = set()
    waiting = list(start)
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached.add(path)
        for module, _ in imported(path, include_types=False):
            file = ROOT.joinpath(*module.split(".")).with_suffix(".py")
            waiting += [file] if file in MODULES else []
    return reached


def patches_the_process(path: Path) -> bool:
    return any(module.split(".")[0] in ("gevent", "locust") for module, _ in imported(path))


@pytest.mark.check
def test_nothing_of_the_release_reaches_the_side_of_the_traffics_child() -> None:
    """Locust and gevent patch the sockets and threads of the process that imports them."""
    release_side = reached_from({path for path in MODULES if room_of(path) != "traffic"})
    assert not [str(path.relative_to(ROOT)) for path in release_side if patches_the_process(path)]


def test_the_child_of_the_traffic_is_what_imports_gevent() -> None:
    child_side = reached_from({ROOT / PACKAGE / "traffic" / "generator" / "locustfile.py"})
    assert {path for path in MODULES if patches_the_process(path)} <= child_side


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.check
def test_no_modules_import_each_other_in_a_circle() -> None:
    files = {module_of(path): path for path in MODULES}
    imports = {name: {other for other, _ in imported(path) if other in files} - {name} for name, path in files.items()}
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "manager", "base", "misc"])
def test_no_module_is_named_after_nothing(name: str) -> None:
    assert not [
        path
        for path in MODULES
        if (path.stem == name or name in path.parts) and path.parts[-2:] != ("sessions", "base.py")
    ]


def test_every_public_class_name_exists_once() -> None:
    """Two classes of one name are mixed up by readers, and by whatever searches for one of them."""
    places: dict[str, list[str]] = {}
    for path in MODULES:
        for node in statements(tree_of(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(f"{path.relative_to(ROOT)}, line {node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_the_rule_can_fail() -> None:
    assert level_of("plugin") < level_of("release") < level_of("site") < level_of("history") < level_of("errors")
    assert "pytest" in dict(imported(Path(__file__)))
