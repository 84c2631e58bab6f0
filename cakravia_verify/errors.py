"""Every error this package raises.

    CakraviaError
    ├── UsageError          the command cannot be done; nothing was changed
    │   ├── SettingsError       cakravia.toml, an environment variable or an option is wrong
    │   ├── NothingToDo         the version is active already, or there is no rollback target
    │   └── MissingTool         a required program or package is missing on this machine
    ├── LockHeld            another process holds the site's lock
    ├── ReleaseError        a step of a release failed; the release rolls back
    │   ├── NotHealthy          a slot did not become, or did not stay, healthy
    │   ├── NotConfirmed        the proxy does not serve the slot that it should serve
    │   ├── HookFailed          a command around the release failed
    │   ├── CompanionFailed     a process beside the slots did not start, or ended at once
    │   └── DeadlineExceeded    a wait reached its deadline
    ├── RollbackFailed      an undo failed; an operator must act
    ├── JournalError        the history cannot be read or written
    │   └── SiteLost            a process with a newer lease has written; this process stops acting
    ├── PlatformError       a slot could not be started, stopped or observed
    ├── ProxyError          the proxy refused a configuration, or could not be reached
    └── TrafficError        the load could not be sent, or its records could not be read

A message contains what failed and what was observed. `remedy` is what to do next.
"""

from __future__ import annotations

from cakravia_verify.command_options import with_options
from cakravia_verify.foreign_text import harmless


class CakraviaError(Exception):
    """The root of all errors of this package. `remedy` is what to do next."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        # Much of a message may be what an application, an engine or a file said.
        self.message = harmless(with_options(message))
        self.remedy = harmless(with_options(remedy))

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.remedy}" if self.remedy else self.message


class UsageError(CakraviaError):
    """The command cannot be done; nothing was changed."""


class SettingsError(UsageError):
    """A setting is wrong. The message names the file and the key."""


class NothingToDo(UsageError):  # noqa: N818 - the name is the outcome
    """The version is active already, or there is no rollback target."""


class MissingTool(UsageError):  # noqa: N818
    """A required program or package is missing on this machine."""


class LockHeld(CakraviaError):  # noqa: N818
    """Another process holds the site's lock."""


class ReleaseError(CakraviaError):
    """A step of the release failed."""


class NotHealthy(ReleaseError):  # noqa: N818
    """A slot did not become, or did not stay, healthy."""


class NotConfirmed(ReleaseError):  # noqa: N818
    """The proxy does not serve the slot that it should serve."""


class HookFailed(ReleaseError):  # noqa: N818
    """A command around the release failed, or did not end in time."""


class CompanionFailed(ReleaseError):  # noqa: N818
    """A process beside the slots did not start, or ended at once."""


class DeadlineExceeded(ReleaseError):  # noqa: N818
    """A wait reached its deadline."""


class RollbackFailed(CakraviaError):  # noqa: N818
    """An undo failed. The rollback stopped there, and an operator must act."""


class JournalError(CakraviaError):
    """The history cannot be read or written."""


class SiteLost(JournalError):  # noqa: N818
    """A process with a newer lease has written. This process neither writes nor acts any more."""


class PlatformError(CakraviaError):
    """A slot could not be started, stopped or observed."""


class ProxyError(CakraviaError):
    """The proxy refused a configuration, or could not be reached."""


class TrafficError(CakraviaError):
    """The load could not be sent, or its records could not be read."""
