"""The page as HTML and its data as JSON. All text from outside is escaped, and only the page's own script may run."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from cakravia_verify.monitor.web import charts
from cakravia_verify.monitor.web.headline import public_of
from cakravia_verify.monitor.web.snapshot import SCHEMA, PublicSnapshot, Snapshot, Standing
from cakravia_verify.report.text.formats import count_in_words, seconds_in_words, visible

if TYPE_CHECKING:
    from jinja2 import Environment

# The parts of the page in their order, each with what it shows of a snapshot.
SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "headline": ("site", "headline"),
    "alerts": ("alerts", "silences", "events"),
    "figures": ("version", "active", "rollback", "budget", "releases"),
    "lanes": ("lanes",),
    "requests": ("releases",),
    "readiness": ("rollback",),
    "health": ("health", "latency", "lanes"),
    "resources": ("usages",),
    "budget": ("budget",),
    "days": ("days",),
    "history": ("releases",),
    "drift": ("drift", "drift_at"),
    "monitor": ("monitor",),
}
PUBLIC_SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {"headline": ("site", "headline"), "days": ("days",)}
PAGE, DATA, FACTS = "monitor.html", "monitor.json", "monitor.facts.json"
PUBLIC_PAGE, PUBLIC_DATA = "status.html", "status.json"
EVENTS, ACT, REPORTS = "monitor.events", "monitor.act", "monitor.reports/"
WORDS: Final = {
    Standing.GOOD: "good",
    Standing.WARNING: "warning",
    Standing.BAD: "bad",
    Standing.UNKNOWN: "not known",
}


@dataclass(frozen=True)
class PageLinks:
    """Where a page finds the rest, each relative to itself; '' for what this page does not have.

    `acts` says that the page offers to acknowledge and to silence.
    """

    events: str = ""
    act: str = ""
    reports: str = ""


def page_of(site: str, links: PageLinks) -> str:
    """Return the page without data: its script reads monitor.json beside it."""
    return _page(site, SECTIONS, script=_file("monitor.js"), source=DATA, links=links)


def public_page_of(site: str) -> str:
    """Return the page for the public."""
    return _page(site, PUBLIC_SECTIONS, script=_file("monitor.js"), source=PUBLIC_DATA, links=PageLinks())


def offline_page_of(snapshot: Snapshot, *, reports: str, note: str) -> str:
    """Return a page with the snapshot in it. It needs no script, no network and no other file."""
    sections = SectionRenderer(SECTIONS, PageLinks(reports=reports)).render(snapshot)
    age = f"snapshot of {charts.moment(snapshot.at)} UTC"
    return _page(snapshot.site, SECTIONS, sections=sections, age=age, note=note)


class SectionRenderer:
    """Renders the parts of the page. A part that shows the same as last time is not rendered again."""

    def __init__(self, sections: Mapping[str, tuple[str, ...]], links: PageLinks) -> None:
        self._sections = sections
        self._links = links
        self._rendered: dict[str, tuple[dict[str, Any], str]] = {}

    def render(self, snapshot: Snapshot | PublicSnapshot) -> dict[str, str]:
        """Return every part as HTML."""
        return {
            name: self._part(name, {each: getattr(snapshot, each) for each in needed})
            for name, needed in self._sections.items()
        }

    def _part(self, name: str, shown: dict[str, Any]) -> str:
        known = self._rendered.get(name)
        if known is not None and known[0] == shown:
            return known[1]
        measured = next((row for row in shown.get("releases", ()) if row.traffic is not None), None)
        around = {"measured": measured, "acts": bool(self._links.act), "reports": self._links.reports}
        module: Any = _templates().get_template("sections.html.j2").make_module(around)
        html = "\n".join(filter(None, map(str.strip, getattr(module, name)(shown).split("\n"))))
        self._rendered[name] = (shown, html)
        return html


class DataWriter:
    """Makes the files that pages and programs read."""

    def __init__(self, links: PageLinks) -> None:
        self._private = SectionRenderer(SECTIONS, links)
        self._public = SectionRenderer(PUBLIC_SECTIONS, PageLinks())

    def private(self, snapshot: Snapshot) -> bytes:
        """Return what monitor.html reads."""
        return _page_data(snapshot, self._private.render(snapshot))

    def public(self, snapshot: Snapshot) -> bytes:
        """Return what status.html reads."""
        public = public_of(snapshot)
        return _page_data(public, self._public.render(public))

    def facts(self, snapshot: Snapshot) -> bytes:
        """Return the whole snapshot, for programs."""
        return _json({"schema": SCHEMA, **asdict(snapshot)})


def _page_data(snapshot: Snapshot | PublicSnapshot, sections: Mapping[str, str]) -> bytes:
    head = {"site": snapshot.site, "at": snapshot.at, "every": snapshot.every, "headline": asdict(snapshot.headline)}
    return _json(head | {"sections": sections})


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=str).encode()


def _page(
    site: str,
    names: Iterable[str],
    *,
    script: str = "",
    source: str = "",
    links: PageLinks | None = None,
    sections: Mapping[str, str] | None = None,
    age: str = "loading",
    note: str = "",
) -> str:
    from markupsafe import Markup

    style = "\n".join((_templates().get_template("report/summary.css").render(), _file("monitor.css")))
    links = links or PageLinks()
    filled = sections or {}
    return (
        _templates()
        .get_template("monitor.html.j2")
        .render(
            policy=policy_of(style=style, script=script),
            title=f"{site}: monitor",
            site=site,
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            source=source,
            events=links.events,
            act=links.act,
            sections={name: Markup(filled.get(name, "")) for name in names},  # noqa: S704 - escaped by the templates
            age=age,
            note=note,
        )
    )


def policy_of(*, style: str, script: str) -> str:
    """Return the Content-Security-Policy: this style and this script by their hashes, and requests to this site."""
    parts = ["default-src 'none'", f"style-src '{_hash(style)}'", "base-uri 'none'", "form-action 'none'"]
    if script:
        parts += [f"script-src '{_hash(script)}'", "connect-src 'self'"]
    return "; ".join(parts)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _file(name: str) -> str:
    loader = _templates().loader
    assert loader is not None
    return loader.get_source(_templates(), name)[0]


@cache
def _templates() -> Environment:
    from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined

    ours = PackageLoader("cakravia_verify.monitor.web")
    shared = PrefixLoader({"report": PackageLoader("cakravia_verify.report.html")})
    environment = Environment(
        loader=ChoiceLoader([ours, shared]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
        finalize=_final,
    )
    environment.globals |= {
        "words": WORDS,
        "count": count_in_words,
        "duration": seconds_in_words,
        "moment": charts.moment,
        "percent": charts.in_percent,
        "amount": amount_in_words,
        "lane_chart": charts.lane_chart,
        "latency_chart": charts.latency_chart,
        "phase_bar": charts.phase_bar,
        "day_bars": charts.day_bars,
    }
    return environment


def _final(value: Any) -> Any:
    # The templates made the markup. All other text may come from outside.
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def amount_in_words(value: float | None, unit: str) -> str:
    """Return an amount with its unit."""
    if value is None:
        return "not known"
    match unit:
        case "bytes":
            return f"{value / 2**20:,.1f} MiB"
        case "share":
            return f"{value:.0%}"
        case "cores":
            return f"{value:.2f} cores"
    return f"{value:,.1f} {unit}"
