"""The proxy lets every body pass that the application takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cakravia_verify.proxy.lint.directives import NginxTree
from cakravia_verify.proxy.lint.model import LintFacts, LintRule, Severity, Spot
from cakravia_verify.proxy.lint.pools import path_of, proxied
from cakravia_verify.proxy.lint.values import bytes_of

DEFAULT: Final = 2**20
UPLOAD: Final = re.compile(r"/(uploads?|files?|import|media|attachments?)(/|$)", re.IGNORECASE)


def _find(tree: NginxTree, facts: LintFacts) -> Iterator[Spot]:
    for block, passing in proxied(tree):
        written = block.effective("client_max_body_size")
        limit = bytes_of(written[-1].first) if written else DEFAULT
        place = written[-1] if written else passing
        if facts.largest_body is not None and limit is not None and 0 < limit < facts.largest_body:
            yield Spot(place, f"bodies above {limit} bytes are refused; the application takes {facts.largest_body}")
        elif not written and UPLOAD.search(path_of(block)):
            yield Spot(place, f"client_max_body_size is not set for {path_of(block)}: 1m")


RULE: Final = LintRule(
    id="body-limit",
    title="The proxy lets every body pass that the application takes",
    severity=Severity.ERROR,
    reason="nginx answers 413 itself: the application, and its error page, never see the upload",
    remedy="write client_max_body_size, at least what the application takes",
    find=_find,
)
