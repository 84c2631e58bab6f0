"""Users import from one module, and importing it is cheap."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cakravia_verify import api

ROOT = Path(__file__).parents[1]
SUITES = sorted((ROOT / "suites").rglob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEAVY = ("duckdb", "docker", "locust", "gevent", "jinja2", "testinfra")


def private_imports(source: str) -> Iterator[str]:
    """Yield every module of the package that the source imports, other than the public one."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "cakravia_verify" else [module]
        yield from (
            name for name in names if name.split(".")[0] in ("cakravia_verify", "suites") and name != api.__name__
        )


@pytest.mark.parametrize("path", SUITES, ids=lambda path: str(path.relative_to(ROOT)))
def test_suites_import_only_the_public_names(path: Path) -> None:
    assert not list(private_imports(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_in_the_docs_imports_only_the_public_names(path: Path) -> None:
    blocks = PYTHON_BLOCK.findall(path.read_text(encoding="utf-8"))
    assert not [name for block in blocks for name in private_imports(block)]


def test_a_private_import_is_found() -> None:
    assert list(private_imports("from cakravia_verify.gate.model import Budget"))
    assert list(private_imports("from cakravia_verify import gate"))
    assert list(private_imports("import cakravia_verify.gate.model"))
    assert not list(private_imports("from cakravia_verify.api import Budget\nfrom cakravia_verify import api"))


def test_every_public_name_exists() -> None:
    assert not [name for name in api.__all__ if not hasattr(api, name)]


def test_importing_the_public_names_loads_nothing_heavy() -> None:
    code = f"import sys, cakravia_verify.api; print(*(name for name in {HEAVY} if name in sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.split() == []
