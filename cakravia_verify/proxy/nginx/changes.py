"""What a reload changes, in words: the configuration names its own settings and snippets in comments."""

from __future__ import annotations

import json
import re
from typing import Any, Final

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
    """Return what differs between two configurations: the settings with both values, and the project's snippets."""
    if loaded == wanted or not loaded:
        return ()
    before, after = _settings_in(loaded), _settings_in(wanted)
    after = after if before else {}  # an earlier version of this package wrote no settings there
    changes = [
        f"{key}: {before.get(key, 'unset')} -> {value}" for key, value in after.items() if before.get(key) != value
    ]
    old, new = _snippets_in(loaded), _snippets_in(wanted)
    for place in SnippetSettings.model_fields:
        if old.get(place) != new.get(place):
            count = len(new.get(place, "").splitlines())
            changes.append(f"snippets.{place}: {f'{count} lines' if count else 'removed'}")
    return tuple(changes) or ("another version of the template, of nginx, or of a certificate",)


def _settings_in(configuration: str) -> dict[str, str]:
    return dict(re.findall(r"^# \[proxy\] (\w+) = (.*)$", configuration, re.MULTILINE))


def _snippets_in(configuration: str) -> dict[str, str]:
    return dict(re.findall(r"# snippet (\w+): [^\n]*\n(.*?)# end of snippet", configuration, re.DOTALL))
