"""A possible cause of trouble, and the chapters of troubleshooting."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cakravia_verify.command_options import with_options

MOST_OF_A_HINT: Final = 50


class Chapter(StrEnum):
    """What does not work."""

    DEPLOYMENT = "a deployment fails with health errors"
    SWITCHING = "traffic does not switch"
    ROLLBACK = "a rollback fails"
    MONITORING = "monitoring has issues"


@dataclass(frozen=True)
class Cause:
    """One possible cause. `likelihood` orders causes, from 0 to 100. `evidence` is what speaks for it."""

    chapter: Chapter
    likelihood: int
    what: str
    evidence: tuple[str, ...]
    remedy: str

    @property
    def is_hint(self) -> bool:
        """Whether it is worth a look, but does not keep users from being served."""
        return self.likelihood <= MOST_OF_A_HINT

    @property
    def command(self) -> str:
        """The remedy, with the options of the present command line."""
        return with_options(self.remedy)
