"""Answers for slow clients do not fill a small file system."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import Directive, NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import proxied

IN_MEMORY: Final = ("/dev/shm/", "/run/", "/var/run/", "/tmp/")  # noqa: S108


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for each in tree.root.all("proxy_temp_path"):
        if not f"{each.first}/".startswith(IN_MEMORY):
            continue
        if any(_writes(block) for block, _ in proxied(tree)):
            yield Spot(each, f"proxy_temp_path {each.first} with proxy_max_temp_file_size above 0")


def _writes(block: Directive) -> bool:
    return block.setting("proxy_buffering") != "off" and block.setting("proxy_max_temp_file_size") != "0"


RULE: Final = LintRule(
    id="temp-on-tmpfs",
    title="Answers for slow clients do not fill a small file system",
    severity=Severity.ERROR,
    reason=(
        "nginx writes answers for slow clients to proxy_temp_path: when the file system in memory is full, "
        "downloads are cut"
    ),
    remedy="write proxy_max_temp_file_size 0; or use a folder on a disk",
    find=_find,
)
