"""The section [policy]: budgets and required checks from a reviewed file, and what the settings loosen of them."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError

from cakravia_verify.errors import SettingsError
from cakravia_verify.settings.budget import BudgetSettings
from cakravia_verify.settings.section import Section

# A smaller number of these permits more, and a larger one of all others. "inform" permits more than "require".
_MORE_IS_STRICTER: Final = frozenset({"min_requests", "min_each", "min_rate_held"})


class PolicySettings(Section):
    """The file with the policies, and the one of them that releases are held to."""

    file: str = ""
    profile: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")] = "production"


class PolicyProfile(Section):
    """One table of the file: a budget, and tests of the deploy suite that must have passed."""

    budget: BudgetSettings = BudgetSettings()
    required: Annotated[tuple[Annotated[str, Field(pattern=r"^test_.+$")], ...], Field(strict=False)] = ()


class ReviewedPolicy(Section):
    """A profile, the file that it is from, and the SHA-256 of that file."""

    name: str
    file: str
    digest: str
    profile: PolicyProfile

    def __str__(self) -> str:
        return f"policy {self.name} of {self.file} ({self.digest[:19]})"


def apply_policy(table: dict[str, Any], *, root: Path) -> ReviewedPolicy | None:
    """Fill the keys that [budget] of `table` leaves open with the policy that [policy] names, and return the policy.

    Raises SettingsError if the file or the profile is missing or wrong.
    """
    section = table.get("policy")
    if not isinstance(section, dict) or not isinstance(file := section.get("file"), str) or not file:
        return None
    name = section.get("profile", PolicySettings().profile)
    content = _read(root / file)
    profiles = _profiles(content, file)
    if name not in profiles:
        raise SettingsError(
            f"{file} has no profile {name!r}; it has: {', '.join(sorted(profiles)) or 'none'}",
            remedy="name one of them: --set policy.profile=NAME",
        )
    try:
        profile = PolicyProfile.model_validate(profiles[name])
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in (name, *problem["loc"]))
        raise SettingsError(f"{file}: {key}: {problem['msg']}", remedy="correct that key of the policy") from error
    budget = table.setdefault("budget", {})
    if isinstance(budget, dict):
        for key in profile.budget.model_fields_set:
            budget.setdefault(key, getattr(profile.budget, key))
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return ReviewedPolicy(name=name, file=file, digest=digest, profile=profile)


def policy_lines(reviewed: ReviewedPolicy | None, budget: BudgetSettings) -> Iterator[str]:
    """Yield what the report says of the policy: its digest, and each limit of the budget that permits more than it."""
    if reviewed is None:
        return
    yield f"held to the {reviewed}"
    for key in BudgetSettings.model_fields:
        allowed, here = getattr(reviewed.profile.budget, key), getattr(budget, key)
        if _permits_more(key, here, allowed):
            yield f"LOOSER than the {reviewed}: [budget] {key} = {here}, the policy says {allowed}"


def _permits_more(key: str, here: Any, allowed: Any) -> bool:
    if isinstance(here, str):
        return here != allowed and here == "inform"
    return bool(here < allowed) if key in _MORE_IS_STRICTER else bool(here > allowed)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"the policy {path} cannot be read: {error.strerror}", remedy="correct [policy] file in the settings"
        ) from error


def _profiles(content: bytes, file: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}", remedy="correct that line of the policy") from error
