"""The certificate is valid, for this name, and belongs to its key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cakravia_verify.errors import UsageError
from cakravia_verify.proxy.certificate import Certificate
from cakravia_verify.proxy.certificate_checks import inspect
from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot

SOON: Final = timedelta(days=7)


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for each in tree.root.all("ssl_certificate"):
        block = each.outer
        if block is None:
            continue
        folder = Path(each.file).parent
        chain, key = folder / each.first, folder / block.setting("ssl_certificate_key")
        if "$" not in each.value and _can_be_read(chain) and _can_be_read(key):
            names = [name.lower() for line in block.own("server_name") for name in line.arguments]
            yield from (Spot(each, f"{each.first}: {trouble}") for trouble in _trouble(chain, key, names))


def _can_be_read(path: Path) -> bool:
    """Whether the file is on this machine: a configuration may come from another one."""
    return path.is_file() and os.access(path, os.R_OK)


def _trouble(chain: Path, key: Path, names: list[str]) -> Iterator[str]:
    now = datetime.now(UTC)
    try:
        state = inspect(Certificate(chain.read_bytes(), key.read_bytes()), now=now)
    except UsageError as error:
        yield error.message
        return
    yield from state.problems
    if now < state.ends < now + SOON:
        yield f"it ends on {state.ends:%Y-%m-%d}"
    covered = {name.lower() for name in state.names}
    for name in names:
        if re.fullmatch(r"[\w-]+(\.[\w-]+)+", name) and not {name, f"*.{name.partition('.')[2]}"} & covered:
            yield f"it is not for {name}, but for {', '.join(sorted(covered)) or 'no name'}"


RULE: Final = LintRule(
    id="certificate",
    title="The certificate is valid, for this name, and belongs to its key",
    severity=Severity.ERROR,
    reason="browsers refuse the connection",
    remedy="renew the certificate; name the whole chain and its key",
    find=_find,
)
