"""nginx's configuration: what the settings make, what is in place, and what runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.diagnosis.switching import changed_lines
from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, no_error, ok, problem
from cakravia_verify.proxy.protocol import ConfigurationState

_NOT_YET: Final = "the proxy was never started here"


def _state(ground: Ground) -> ConfigurationState:
    return ground.site.proxy.configuration_state()


def _in_place(ground: Ground) -> Iterator[CheckFinding]:
    state = _state(ground)
    if state.refusal:
        yield problem(
            state.refusal,
            needed="a configuration that nginx can load, or the next reload and the next start fail",
            remedy="cakravia recover writes it anew from the settings",
        )
        return
    yield ok("nginx -t accepts it" if state.written else _NOT_YET)


def _rendered(ground: Ground) -> Iterator[CheckFinding]:
    if not _state(ground).written:
        yield ok(_NOT_YET)
        return
    yield no_error(ground.site.proxy.test, found="nginx -t accepts it")


def _loaded(ground: Ground) -> Iterator[CheckFinding]:
    state = _state(ground)
    if state.written and state.loaded and state.written != state.loaded:
        lines = "; ".join(changed_lines(state.loaded, state.written))
        yield problem(
            f"nginx.conf was changed since the last reload of ours: {lines}",
            needed="the file that this tool wrote: the next reload by anybody loads the other one",
            remedy="cakravia recover writes it anew; a setting of your own belongs into [proxy]",
        )
    elif state.written and not state.loaded:
        yield problem(
            "it is not known which configuration nginx has loaded: a reload was interrupted",
            needed="a reload that ended",
            remedy="cakravia recover",
        )
    else:
        yield ok("the running nginx has loaded the file in place" if state.written else _NOT_YET)


def _drift(ground: Ground) -> Iterator[CheckFinding]:
    state = _state(ground)
    if state.wanted and state.written and state.wanted != state.written:
        lines = "; ".join(changed_lines(state.written, state.wanted))
        yield problem(
            f"the settings, the certificate or the template changed since the last reload: {lines}",
            needed="a proxy that runs what the settings say",
            remedy="cakravia recover loads the change; the next release does it too",
        )
        return
    yield ok("template, settings and file agree" if state.written else _NOT_YET)


IN_PLACE: Final = SiteCheck("in place", "nginx accepts the configuration in place", _in_place)
RENDERED: Final = SiteCheck("rendered", "nginx accepts the configuration of the settings", _rendered)
LOADED: Final = SiteCheck("loaded", "The running nginx has loaded the file in place", _loaded)
DRIFT: Final = SiteCheck("drift", "The file in place is what the settings make", _drift)
