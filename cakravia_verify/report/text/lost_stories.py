"""The story of a lost request: what the client, the proxy and the application recorded of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cakravia_verify.report.text.formats import one_line, seconds_in_words


@dataclass(frozen=True)
class LostStory:
    """One lost request, in one line for each record."""

    id: str
    lines: tuple[str, ...]


def story_of(row: Mapping[str, Any]) -> LostStory:
    """Return the story of a row of the ledger. A record that is missing is told as missing."""
    lines = (f"client: {_client(row)}", f"proxy: {_proxy(row)}", f"application: {_application(row)}")
    findings = row.get("findings")
    more = (f"together: {findings}",) if findings else ()
    return LostStory(one_line(str(row.get("id") or "without an id")), tuple(map(one_line, (*lines, *more))))


def _client(row: Mapping[str, Any]) -> str:
    return ", ".join(_client_parts(row))


def _client_parts(row: Mapping[str, Any]) -> Iterator[str]:
    yield f"{row.get('method') or 'a request'} {row.get('name') or ''}".strip()
    if (connection := row.get("connection")) is not None:
        yield f"on {'the open' if row.get('reused') else 'the new'} connection {connection}"
    if row.get("sent") is None:
        yield "never written"
    elif waited := _after(row, "planned", "sent"):
        yield f"written {waited} after its time"
    if waited := _after(row, "sent", "first_byte"):
        yield f"first byte {waited} later"
    if row.get("status") is not None:
        yield f"status {row['status']}"
    yield f"{row.get('outcome') or 'lost'}{': ' + str(row['detail']) if row.get('detail') else ''}"


def _proxy(row: Mapping[str, Any]) -> str:
    if not row.get("proxy_rows"):
        return "no record of it"
    parts = [f"status {row.get('proxy_status')}", f"from {row.get('proxy_slot') or row.get('upstream') or 'no slot'}"]
    if row.get("upstream_status"):
        parts.append(f"which answered {row['upstream_status']}")
    if isinstance(took := row.get("proxy_seconds"), int | float):
        parts.append(f"in {seconds_in_words(took)}")
    return " ".join(parts)


def _application(row: Mapping[str, Any]) -> str:
    begins, ends = row.get("app_begins") or 0, row.get("app_ends") or 0
    if not begins and not ends:
        return "no record of it"
    where = f"{row.get('app_slot') or 'a slot'} ({row.get('app_version') or 'unknown version'})"
    done = "finished it" if ends else "never finished it"
    return f"{where} began it {begins} times and ended it {ends} times" if begins > 1 else f"{where} {done}"


def _after(row: Mapping[str, Any], first: str, second: str) -> str:
    """Return the time between two instants of the client, '' if one is missing. They are in microseconds."""
    began, ended = row.get(first), row.get(second)
    if not isinstance(began, int) or not isinstance(ended, int):
        return ""
    return seconds_in_words((ended - began) / 1_000_000)
