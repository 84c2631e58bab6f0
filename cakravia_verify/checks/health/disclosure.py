"""A health answer tells strangers nothing that helps an attacker."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from cakravia_verify.health.probe import Answer

# What is told -> how it looks.
PATTERNS: Final = {
    "a Python traceback": r"Traceback \(most recent call last\)|File \"[^\"]+\", line \d+",
    "a stack trace of JavaScript": r"^\s+at .+ \(?(?:file://|node:|/|[A-Z]:\\).*:\d+:\d+\)?",
    "a stack trace of Java": r"^\s+at [\w.$]+\([\w]+\.java:\d+\)|Caused by: [\w.]+Exception",
    "a stack trace of PHP, Ruby or Go": r"#\d+ /\S+\.php\(\d+\)|\.rb:\d+:in |goroutine \d+ \[",
    "a path of the machine": r"(?<![\w.:/-])/(?:home|root|srv|var|opt|usr|etc|app|tmp|proc)/[\w.-]+|[A-Z]:\\\\?\w+",
    "an address with a password": r"\w+://[^/\s:@\"]+:[^/\s@\"]+@",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a key of a cloud": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bghp_[A-Za-z0-9]{36}\b|\bsk_live_[A-Za-z0-9]{16,}",
    "a secret by its name": r"\"[^\"]*(?:passw(?:or)?d|secret|api_?key|private_?key|token)[^\"]*\"\s*:\s*\"[^\"]+\"",
    "a statement of SQL": r"\b(?:SELECT .+ FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b",
}
_COMPILED: Final = {what: re.compile(pattern, re.IGNORECASE | re.MULTILINE) for what, pattern in PATTERNS.items()}
READ_BYTES: Final = 65_536
SHORTEST_SECRET: Final = 8


def disclosed(answer: Answer, *, secrets: Iterable[str] = ()) -> list[str]:
    """Return what the answer tells that it should not. `secrets` are texts that must never appear."""
    return [*_found(answer, secrets)]


def _found(answer: Answer, secrets: Iterable[str]) -> Iterator[str]:
    text = answer.body[:READ_BYTES].decode("utf-8", "replace")
    told = f"{text}\n" + "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
    for what, pattern in _COMPILED.items():
        if pattern.search(text):
            yield what
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET and secret in told:
            yield "the value of a secret of the settings"
            return
    if re.search(r"/\d+\.\d+", answer.headers.get("X-Powered-By", "")):
        yield f"its software in X-Powered-By: {answer.headers['X-Powered-By'][:40]}"
