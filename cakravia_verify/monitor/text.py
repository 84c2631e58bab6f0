"""The monitor's state, alerts and history as lines of text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from cakravia_verify.command_options import with_options
from cakravia_verify.monitor.alerts.message import duration, instant
from cakravia_verify.monitor.facts import ProbeTarget


def clean(text: str) -> str:
    """Return text without control characters: it holds what applications answered."""
    return "".join(each if each.isprintable() else " " for each in text)


def alert_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield open alerts, silences, waiting messages and past changes."""
    opened = [alert for alert in found["alerts"] if alert["is_open"]]
    yield f"open alerts: {len(opened) or 'none'}"
    for alert in opened:
        known = f", acknowledged by {alert['acknowledged_by']}" if alert["acknowledged_by"] else ""
        since = instant(alert["began_at"])
        yield f"  {alert['name']:<16} {alert['state']:<11} since {since}{known}  {alert['detail']}"
    for silence in found["silences"]:
        until = instant(silence["until"])
        yield f"silence {silence['number']}: {silence['pattern']} until {until}: {silence['reason']}"
    for waiting in found["waiting"]:
        error = f": {waiting['error']}" if waiting["error"] else ""
        yield f"waiting for {waiting['channel']}: {waiting['count']} since {instant(waiting['oldest'])}{error}"
    for event in found["events"]:
        yield f"{instant(event['at'])}  {event['name']:<16} {event['change']:<14} {event['detail']}"


def status_lines(state: Mapping[str, Any], *, is_running: bool) -> Iterator[str]:
    """Yield what the monitor sees now, or last saw."""
    if not state:
        yield with_options("the monitor never ran here; start it with: cakravia monitor run")
        return
    now = time.time()
    if is_running:
        yield f"{state['site']}: the monitor runs for {duration(now - state['started_at'])}, process {state['pid']}"
    else:
        yield f"{state['site']}: the monitor does not run; it last did {duration(now - state['at'])} ago"
    facts = state.get("facts", {})
    for target in ProbeTarget:
        if seen := facts.get(target):
            yield f"  {target:<10} {_round_in_words(seen)}{' (active)' if target == state.get('active') else ''}"
    yield from map(clean, _resource_lines(facts))
    for source in state.get("sources", ()):
        if source["is_silent"] or source["problem"]:
            yield clean(f"  no data    {source['name']}: {source['problem'] or 'it reports nothing'}")
    if state.get("trouble"):
        yield clean(f"  trouble    {state['trouble']}")
    opened = [alert for alert in state.get("alerts", ()) if alert["is_open"]]
    for alert in opened:
        yield clean(f"  ALERT      {alert['name']} {alert['state']}: {alert['detail']}")
    if not opened:
        yield "  alerts     none"


def _round_in_words(seen: Mapping[str, Any]) -> str:
    if not seen["is_there"]:
        return "nothing runs there"
    bad = [f"{probe['endpoint']} ({probe['problem']})" for probe in seen["probes"] if probe["problem"]]
    version = next((probe["version"] for probe in seen["probes"] if probe["version"]), None)
    return clean(f"{'bad: ' + ', '.join(bad) if bad else 'good'}{f', {version}' if version else ''}")


def _resource_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    for slot in (facts.get("platform") or {}).get("slots", ()):
        parts = []
        if slot["cpu"] is not None:
            parts.append(f"CPU {slot['cpu']:.1%} of a core")
        if slot["memory"] is not None:
            limit = f" of {slot['memory_limit'] / 2**20:.0f}" if slot["memory_limit"] else ""
            parts.append(f"memory {slot['memory'] / 2**20:.0f}{limit} MiB")
        if slot["restarts"]:
            parts.append(f"{slot['restarts']} restarts")
        if parts:
            yield f"  {slot['colour']:<10} {', '.join(parts)}"
    if host := facts.get("host"):
        disks = ", ".join(f"{name} {share:.0%}" for name, share in host["disks"].items())
        load = f"load {host['load']:.2f} on {host['cores']} cores"
        yield f"  machine    {load}, memory {host['memory']:.0%}, disk {disks}"
    for line in (facts.get("drift") or {}).get("drift", ()):
        yield f"  drift      {line}"


def history_line(row: Mapping[str, Any]) -> str:
    """Return one minute or hour of one series."""
    if row["p50"] is None and row["mean"] is not None:
        return f"{instant(row['at'])}  {row['series']:<24} mean {row['mean']:.4g}, highest {row['high']:.4g}"
    state = "good" if not row["bad"] else f"{row['bad']} of {row['count']} bad"
    latency = f"p50 {row['p50'] * 1000:.1f} ms, p99 {row['p99'] * 1000:.1f} ms" if row["p50"] is not None else ""
    return f"{instant(row['at'])}  {row['series']:<24} {state:<18} {latency}"
