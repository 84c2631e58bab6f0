"""Which kind of session the suites on the command line ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.kinds import CHECK, policy_of


def kind_of_session(config: pytest.Config) -> str | None:
    """Return the kind that the suites name, None if they name none.

    Suites of several kinds that switch no users are one check. Raises pytest.UsageError if one of them is a release.
    """
    kinds = {kind for path in _paths(config) if (kind := _nearest_kind(config, path))}
    if len(kinds) < 2:
        asked: str | None = config.hook.pytest_cakravia_kind(config=config)
        return asked
    if any(policy_of(kind).switches_users for kind in kinds):
        raise pytest.UsageError(
            f"suites of the kinds {', '.join(sorted(kinds))} are sessions of their own: run them one by one"
        )
    return CHECK.name


def _paths(config: pytest.Config) -> Iterator[Path]:
    for argument in config.args:
        yield (config.invocation_params.dir / argument.partition("::")[0]).resolve()


def _nearest_kind(config: pytest.Config, path: Path) -> str | None:
    """Return the kind that the nearest conftest.py above a path names."""
    found: list[tuple[int, Any]] = []
    for implementation in config.hook.pytest_cakravia_kind.get_hookimpls():
        file = getattr(implementation.plugin, "__file__", None)
        if file and path.is_relative_to(folder := Path(file).resolve().parent):
            found.append((len(folder.parts), implementation))
    if not found:
        return None
    _, nearest = max(found, key=lambda each: each[0])
    kind: str | None = nearest.function(*(config for _ in nearest.argnames))
    return kind
