"""`cakravia doctor`: what the site needs, and what is wrong with it."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cakravia_verify.errors import SettingsError

if TYPE_CHECKING:
    from cakravia_verify.checks.diagnosis.cause import Cause
    from cakravia_verify.checks.diagnosis.evidence import MonitorEvidence, SiteEvidence
    from cakravia_verify.checks.model import CheckedSite
    from cakravia_verify.site.site import Site

BAD: Final = 1
LOG_BYTES: Final = 20_000
WIDTH: Final = 110


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--all", "is_long", is_flag=True, help="Print what is fine as well.")
@click.pass_obj
def doctor(open_site: Callable[[], Site], as_json: bool, is_long: bool) -> None:
    """Check what the site needs, and say what is wrong with it.

    \b
      cakravia doctor
      cakravia doctor --json
    Nothing is changed. Exit status: 0 no problem was found, 1 there is one.
    """
    try:
        site = open_site()
    except SettingsError as error:
        _print_settings_error(error, as_json=as_json)
        sys.exit(BAD)
    from cakravia_verify.checks.diagnosis.diagnose import diagnose
    from cakravia_verify.checks.diagnosis.evidence import collect
    from cakravia_verify.checks.model import Ground, carry_out
    from cakravia_verify.checks.prerequisites.registry import PREREQUISITES
    from cakravia_verify.system.machine import Machine

    ground = Ground(site, Machine())
    checked = [carry_out(check, ground) for check in PREREQUISITES if check.applies(site.settings)]
    evidence = collect(site, monitor=_monitor_evidence(site))
    causes = diagnose(site, evidence)
    is_bad = _is_bad(checked, causes)
    if as_json:
        click.echo(json.dumps(_as_json(site, checked, causes, evidence=evidence), indent=2))
    else:
        for line in (*_check_lines(checked, is_long=is_long), *_cause_lines(causes)):
            click.echo(line)
    if is_bad:
        sys.exit(BAD)


def _monitor_evidence(site: Site) -> MonitorEvidence:
    from cakravia_verify.checks.diagnosis.evidence import MonitorEvidence
    from cakravia_verify.monitor.installation import installed
    from cakravia_verify.monitor.place import place_of
    from cakravia_verify.monitor.service import is_fresh
    from cakravia_verify.monitor.state import read_state
    from cakravia_verify.platforms.process.slot_processes import last_bytes

    place = place_of(site.settings)
    state = read_state(place.state_file)
    return MonitorEvidence(
        is_installed=installed(site.settings) is not None,
        is_running=place.is_running(),
        is_fresh=is_fresh(state),
        has_channels=bool(site.settings.notify.channels),
        state=state,
        log=last_bytes(Path(str(state.get("log") or place.log)), limit=LOG_BYTES).decode(errors="replace"),
    )


def _check_lines(checked: Iterable[CheckedSite], *, is_long: bool) -> Iterator[str]:
    rows = list(checked)
    for each in rows:
        for finding in each.findings:
            if finding.grade == "ok" and not is_long:
                continue
            label = finding.grade if finding.grade == "ok" else finding.grade.upper()
            yield from _wrapped(f"{label:<9}", f"{each.check.name}: {finding.found}", indent=0)
            if finding.needed:
                yield from _wrapped("needed: ", finding.needed, indent=9)
            if finding.remedy:
                yield from _wrapped("-> ", finding.command, indent=9)
    bad = sum(bool(each.bad) for each in rows)
    warned = sum(each.grade == "warning" for each in rows)
    fine = len(rows) - bad - warned
    yield f"{len(rows)} prerequisites: {fine} ok, {warned} with a warning, {bad} with a problem"


def _cause_lines(causes: Iterable[Cause]) -> Iterator[str]:
    listed = list(causes)
    if not listed:
        yield "nothing wrong was found on the running site"
        return
    yield ""
    yield "what is wrong, most likely first:"
    for number, cause in enumerate(listed, 1):
        yield from _wrapped(f"{number}. ", f"{cause.what} ({'a hint' if cause.is_hint else cause.chapter})", indent=2)
        for line in cause.evidence:
            yield from _wrapped("seen: ", line, indent=5)
        yield from _wrapped("-> ", cause.command, indent=5)


def _wrapped(label: str, text: str, *, indent: int) -> list[str]:
    first = f"{' ' * indent}{label}"
    return textwrap.wrap(
        " ".join(text.split()),
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _is_bad(checked: Iterable[CheckedSite], causes: Iterable[Cause]) -> bool:
    return any(not cause.is_hint for cause in causes) or any(each.bad for each in checked)


def _as_json(
    site: Site, checked: Sequence[CheckedSite], causes: Sequence[Cause], *, evidence: SiteEvidence
) -> dict[str, Any]:
    return {
        "site": site.settings.site.name,
        "is_ok": not _is_bad(checked, causes),
        "prerequisites": [each.as_json() for each in checked],
        "evidence": evidence.as_json(),
        "causes": [
            asdict(cause) | {"is_hint": cause.is_hint, "remedy": cause.command, "chapter": str(cause.chapter)}
            for cause in causes
        ],
    }


def _print_settings_error(error: SettingsError, *, as_json: bool) -> None:
    if as_json:
        finding = {"grade": "problem", "found": error.message, "needed": "settings without errors"}
        row = {"name": "settings", "title": "The settings are valid", "grade": "problem"}
        row_of_one = row | {"findings": [finding | {"remedy": error.remedy}]}
        click.echo(json.dumps({"is_ok": False, "prerequisites": [row_of_one], "causes": []}, indent=2))
        return
    for line in (
        *_wrapped("PROBLEM  ", f"settings: {error.message}", indent=0),
        *_wrapped("-> ", error.remedy, indent=9),
    ):
        click.echo(line)
