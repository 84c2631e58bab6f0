"""What follows from a verdict: promote the candidate, keep users on it, or bring them back.

Each function records the verdict first, and adds to `notices` what went wrong without changing the result.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from cakravia_verify.errors import CakraviaError, CompanionFailed, JournalError, NotConfirmed, UsageError
from cakravia_verify.gate.model import Verdict
from cakravia_verify.history.releases import PROMOTED, ROLLED_BACK, STUCK, UNPROVEN
from cakravia_verify.release.companions import return_companions
from cakravia_verify.release.machine import Release
from cakravia_verify.report.folder import require_writable
from cakravia_verify.runs.failures import describe


def promote(release: Release, verdict: Verdict, *, folder: Path, notices: list[str]) -> str:
    """Promote the candidate. Returns why it could not be promoted, empty if it was.

    The report's `folder` and the history must be writable, and users must be on the candidate. Once the verdict is in
    the history, the next command finishes what this one could not.
    """
    try:
        require_writable(folder)
    except UsageError as error:
        return f"not promoted: {error.message}"
    return keep_users(release, verdict, outcome=PROMOTED, notices=notices)


def keep_users(release: Release, verdict: Verdict, *, outcome: str, notices: list[str]) -> str:
    """Keep users on the candidate and record it. Returns why that failed, empty if it did not."""
    try:
        release.record_verdict(verdict.decision, why=verdict.why, keeps_users=outcome == UNPROVEN)
    except JournalError as error:
        return f"not promoted: {error.message}"
    try:
        release.advance("promote")
    except (NotConfirmed, CompanionFailed) as error:
        return f"not promoted: {error.message}"
    except (CakraviaError, OSError) as error:
        # The candidate serves users and passed. The next command finishes what is left.
        notices.append(f"{outcome}, but the old slot could not be retired: {describe(error)}")
        return ""
    digest = release.facts.artifact.digest if release.facts.artifact else ""
    try:
        release.advance("cleanup")
        release.finish(outcome, why="" if verdict.is_promote else verdict.why, digest=digest)
    except (CakraviaError, OSError) as error:
        notices.append(f"{outcome}, but the clean-up failed: {describe(error)}")
    return ""


def roll_back(release: Release, verdict: Verdict, *, notices: list[str]) -> CakraviaError | None:
    """Bring users back. Returns what stopped the rollback, None if it is complete."""
    release.record_verdict(verdict.decision, why=verdict.why)
    try:
        release.roll_back(verdict.why)
    except CakraviaError as error:
        notices.append(f"the rollback stopped: {error.message}")
        with contextlib.suppress(CakraviaError):
            release.finish(STUCK, why=error.message)
        return error
    notices += return_companions(release)
    try:
        release.finish(ROLLED_BACK, why=verdict.why)
    except JournalError as error:
        notices.append(f"users are back, but the history could not be written: {error.message}")
    return None
