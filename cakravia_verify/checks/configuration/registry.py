"""All checks of the configuration, in the order in which they are told."""

from __future__ import annotations

from typing import Final

from cakravia_verify.checks.configuration import compose_file, lint_rules, nginx_files, settings_together, slots_alike
from cakravia_verify.checks.model import SiteCheck

CONFIGURATION: Final[tuple[SiteCheck, ...]] = (
    nginx_files.IN_PLACE,
    nginx_files.RENDERED,
    nginx_files.LOADED,
    nginx_files.DRIFT,
    lint_rules.CHECK,
    settings_together.CHECK,
    compose_file.CHECK,
    slots_alike.CHECK,
)
