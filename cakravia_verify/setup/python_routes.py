"""Paths in the source of FastAPI, Flask, Starlette and Django applications, read from the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cakravia_verify.setup.findings import Route
from cakravia_verify.setup.source_files import text_of

_FRAMEWORKS: Final = frozenset({"FastAPI", "Flask", "Starlette", "Litestar", "Quart"})
# Decorators of a view that answers everybody's GET all the same.
_HARMLESS: Final = frozenset({
    "require_GET", "require_safe", "csrf_exempt", "ensure_csrf_cookie", "never_cache", "cache_page", "cache_control",
    "gzip_page", "xframe_options_exempt",
})  # fmt: skip
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class _Place:
    """A file of urls, and where its paths begin."""

    path: Path
    prefix: str


def decorated_routes(text: str) -> Iterator[Route]:
    """Yield the GET routes of the application object itself: the prefix of a router is known elsewhere."""
    tree = _parsed(text)
    apps = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and _called(node.value) in _FRAMEWORKS
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for function in [node for node in ast.walk(tree) if isinstance(node, _Function)]:
        for decorator in function.decorator_list:
            if path := _path_of(decorator, apps):
                others = [
                    each for each in function.decorator_list if each is not decorator and not _path_of(each, apps)
                ]
                is_sure = not others and not _keyword(decorator, "dependencies") and not _needs_arguments(function)
                yield Route(path, is_sure=is_sure)


def django_routes(folder: Path, urls: Path) -> Iterator[Route]:
    """Yield the paths without parameters of a file of urls, and of the files that it includes by name."""
    todo, done = [_Place(urls, "/")], set()
    while todo:
        place = todo.pop()
        if place.path in done or not place.path.is_file():
            continue
        done.add(place.path)
        tree = _parsed(text_of(place.path))
        for call in [node for node in ast.walk(tree) if isinstance(node, ast.Call)]:
            if _called(call) not in ("path", "re_path") or len(call.args) < 2:
                continue
            route = place.prefix + _text(call.args[0])
            view = call.args[1]
            if _called(view) == "include":
                module = _text(view.args[0]) if isinstance(view, ast.Call) and view.args else ""
                todo += [_Place(_file_of(folder, module), route)] if module else []
            elif isinstance(call.args[0], ast.Constant):
                yield Route(route, is_sure=_answers_everybody(view, tree, place.path, folder))


def _answers_everybody(view: ast.expr, tree: ast.Module, urls: Path, folder: Path) -> bool:
    """Return whether the view certainly answers a plain GET without a login."""
    if isinstance(view, ast.Call):
        return isinstance(view.func, ast.Attribute) and _name(view.func.value) == "TemplateView"
    function = _function_of(view, tree, urls, folder)
    if function is None or _needs_arguments(function, given=1):
        return False
    words = {_name(each.func if isinstance(each, ast.Call) else each) for each in function.decorator_list}
    used = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    return words <= _HARMLESS and not used & {"method", "POST", "FILES", "user", "is_authenticated"}


def _function_of(view: ast.expr, tree: ast.Module, urls: Path, folder: Path) -> _Function | None:
    """Return the function that a file of urls names, through its imports."""
    module, name = (_name(view.value), view.attr) if isinstance(view, ast.Attribute) else ("", _name(view))
    for node in [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]:
        for alias in node.names:
            if (alias.asname or alias.name) != (module or name):
                continue
            parts = [node.module or "", *([alias.name] if module else [])]
            dotted = ".".join(filter(None, parts))
            start = urls.parents[node.level - 1] if node.level else folder
            wanted = name if module else alias.name
            body = _parsed(text_of(_file_of(start, dotted))).body
            return next((each for each in body if isinstance(each, _Function) and each.name == wanted), None)
    return next((each for each in tree.body if isinstance(each, _Function) and each.name == name), None)


def _path_of(decorator: ast.expr, apps: set[str]) -> str:
    """Return the path of `@app.get("/path")`, or of `@app.route("/path")` for GET; "" for any other decorator."""
    if not isinstance(decorator, ast.Call) or not isinstance(decorator.func, ast.Attribute) or not decorator.args:
        return ""
    if _name(decorator.func.value) not in apps or decorator.func.attr not in ("get", "route"):
        return ""
    methods = _keyword(decorator, "methods")
    if methods is not None and "GET" not in ast.unparse(methods).upper():
        return ""
    return _text(decorator.args[0])


def _needs_arguments(function: _Function, *, given: int = 0) -> bool:
    """Return whether a request must bring more than its path, or the framework asks for a user first."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args][given:]
    without_default = positional[: len(positional) - len(arguments.defaults)] if arguments.defaults else positional
    needed = [
        each for each in without_default if each.annotation is None or "Request" not in ast.unparse(each.annotation)
    ]
    needed += [
        each for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None
    ]
    return bool(needed) or "Depends(" in ast.unparse(arguments) or "Security(" in ast.unparse(arguments)


def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ast.Module([], [])


def _file_of(folder: Path, module: str) -> Path:
    return folder.joinpath(*module.split(".")).with_suffix(".py") if module else folder


def _called(node: ast.AST | None) -> str:
    return _name(node.func) if isinstance(node, ast.Call) else ""


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _keyword(call: ast.expr, name: str) -> ast.expr | None:
    keywords = call.keywords if isinstance(call, ast.Call) else []
    return next((each.value for each in keywords if each.arg == name), None)
