"""What the store and the alerts say of a span of time, as plain values: for the command line and for programs."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cakravia_verify.command_options import with_options
from cakravia_verify.monitor.alerts import book
from cakravia_verify.monitor.alerts.message import duration, instant
from cakravia_verify.monitor.database import reading
from cakravia_verify.monitor.notify.outbox import recent_messages
from cakravia_verify.monitor.state import alert_as_json
from cakravia_verify.monitor.store.aggregate import Aggregate
from cakravia_verify.monitor.store.query import Point, hours, points, series_names, whole_of

MINUTES_UP_TO = 2 * 3600.0


def report_of(folder: Path, site: str, *, since: float, until: float) -> dict[str, Any]:
    """Return availability and latency of every probe, resources, and alerts, between two instants."""
    probes, values = {}, {}
    for name in series_names(folder):
        whole = whole_of(folder, name, since=since, until=until)
        if not whole.count:
            continue
        if name.startswith("probe/"):
            probes[name.removeprefix("probe/")] = _probe(whole)
        else:
            values[name] = {"mean": whole.mean, "low": whole.low, "high": whole.high}
    found = alerts_of(folder, now=until, last=1000)
    events = [event for event in found["events"] if since <= event["at"] <= until]
    return {
        "site": site,
        "since": since,
        "until": until,
        "probes": probes,
        "values": values,
        "events": events,
        "open": [alert for alert in found["alerts"] if alert["is_open"]],
    }


def _probe(whole: Aggregate) -> dict[str, Any]:
    quantiles = {f"p{share * 100:g}": whole.quantile(share) for share in (0.5, 0.95, 0.99)}
    availability = 1 - whole.bad / whole.count
    return {"count": whole.count, "bad": whole.bad, "availability": availability, **quantiles, "high": whole.high}


def report_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the report as text."""
    span = duration(report["until"] - report["since"])
    yield f"{report['site']}: the last {span}, until {instant(report['until'])}"
    if not report["probes"]:
        yield with_options("nothing was recorded in that time; start the monitor with: cakravia monitor run")
        return
    yield f"{'probe':<22} {'available':>10} {'probes':>9} {'bad':>6} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8}"
    for name, row in report["probes"].items():
        latency = " ".join(
            f"{row[key] * 1000:8.1f}" if row[key] is not None else f"{'-':>8}" for key in ("p50", "p95", "p99")
        )
        # Rounded down: 99.999% of a day with one failure is no 100%.
        share = int(row["availability"] * 100_000) / 1000
        yield f"{name:<22} {share:>9.3f}% {row['count']:>9,} {row['bad']:>6,} {latency}"
    yield f"open alerts: {', '.join(alert['name'] for alert in report['open']) or 'none'}"
    fired = [event for event in report["events"] if event["change"] == "fired"]
    yield f"alerts fired: {len(fired)}"
    for event in fired[-20:]:
        detail = "".join(each if each.isprintable() else " " for each in event["detail"])
        yield f"  {instant(event['at'])}  {event['name']}: {detail}"


def history_rows(folder: Path, prefix: str, *, since: float, until: float) -> list[dict[str, Any]]:
    """Return one row per series and hour, or per minute for a short span, oldest first."""
    rows = []
    for name in series_names(folder):
        if name.startswith(prefix):
            read = points if until - since <= MINUTES_UP_TO else hours
            rows += [_row(name, point) for point in read(folder, name, since=since, until=until)]
    return sorted(rows, key=lambda row: (row["at"], row["series"]))


def _row(name: str, point: Point) -> dict[str, Any]:
    whole = point.aggregate
    return {
        "at": point.at,
        "series": name,
        "count": whole.count,
        "bad": whole.bad,
        "mean": whole.mean,
        "p50": whole.quantile(0.5),
        "p99": whole.quantile(0.99),
        "high": whole.high,
    }


def alerts_of(folder: Path, *, now: float, last: int) -> dict[str, Any]:
    """Return alerts, silences, the newest changes and messages, and what waits for delivery."""
    empty: dict[str, Any] = {"alerts": [], "silences": [], "events": [], "messages": [], "waiting": []}
    if not (folder / book.FILE_NAME).exists():
        return empty
    with contextlib.suppress(sqlite3.Error), reading(folder / book.FILE_NAME) as connection:
        waiting = connection.execute(
            "SELECT channel, count(*), min(at), max(error) FROM deliveries JOIN messages USING (seq) GROUP BY channel"
        ).fetchall()
        return {
            "alerts": [alert_as_json(alert) for alert in book.load_alerts(connection).values()],
            "silences": [asdict(silence) for silence in book.silences(connection, now=now)],
            "events": [asdict(event) for event in book.load_events(connection, last=last)],
            "messages": [
                asdict(message) | {"seq": seq, "delivered_by": channels}
                for seq, message, channels in recent_messages(connection, last=last)
            ],
            "waiting": [dict(zip(("channel", "count", "oldest", "error"), row, strict=True)) for row in waiting],
        }
    return empty
