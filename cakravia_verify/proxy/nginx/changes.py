"""What a reload changes, in words: for users, and of the settings and snippets that the configuration names."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from cakravia_verify.errors import UsageError
from cakravia_verify.foreign_text import one_line
from cakravia_verify.proxy.lint.effects import effects_of, reload_warnings
from cakravia_verify.proxy.lint.parsing import parse_text
from cakravia_verify.settings.own_nginx import SnippetSettings
from cakravia_verify.settings.proxy import ProxySettings

# Settings without a part in the configuration: a change of them needs no reload.
NOT_RENDERED: Final[dict[str, Any]] = {
    "nginx": True,
    "failover": True,
    "assets_keep": True,
    "skew": {"max_age", "after_rollback"},
    "snippets": True,
}


def settings_lines(settings: ProxySettings) -> list[str]:
    """Return one line for each setting of `[proxy]`, for the head of the configuration."""
    given = settings.model_dump(mode="json", exclude=NOT_RENDERED)
    return [f"[proxy] {key} = {json.dumps(value)}" for key, value in given.items()]


def changes_in_words(loaded: str, wanted: str) -> tuple[str, ...]:
    """Return what a reload from one configuration to the other changes: for users first, then settings and snippets."""
    if loaded == wanted or not loaded:
        return ()
    changes = [*_settings_changed(loaded, wanted), *_snippets_changed(loaded, wanted)]
    return (*_seen_by_users(loaded, wanted), *changes) or (
        "another version of the template, of nginx, or of a certificate",
    )


def _seen_by_users(loaded: str, wanted: str) -> Iterator[str]:
    with contextlib.suppress(UsageError):  # what is loaded may come from anywhere
        before = parse_text(loaded)
        yield from map(one_line, effects_of(before, parse_text(wanted)))
        yield from reload_warnings(before)


def _settings_changed(loaded: str, wanted: str) -> Iterator[str]:
    before, after = _settings_in(loaded), _settings_in(wanted)
    after = after if before else {}  # an earlier version of this package wrote no settings there
    for key, value in after.items():
        if before.get(key) != value:
            yield f"{key}: {before.get(key, 'unset')} -> {value}"


def _snippets_changed(loaded: str, wanted: str) -> Iterator[str]:
    old, new = _snippets_in(loaded), _snippets_in(wanted)
    for place in SnippetSettings.model_fields:
        if old.get(place) != new.get(place):
            count = len(new.get(place, "").splitlines())
            yield f"snippets.{place}: {f'{count} lines' if count else 'removed'}"


def _settings_in(configuration: str) -> dict[str, str]:
    return dict(re.findall(r"^# \[proxy\] (\w+) = (.*)$", configuration, re.MULTILINE))


def _snippets_in(configuration: str) -> dict[str, str]:
    return dict(re.findall(r"# snippet (\w+): [^\n]*\n(.*?)# end of snippet", configuration, re.DOTALL))
