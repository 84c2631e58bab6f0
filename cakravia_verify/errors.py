"""Every error this package raises.

    CakraviaError
    ├── UsageError          the person asked for something that cannot be done; nothing was touched
    │   ├── SettingsError       cakravia.toml, an environment variable or an option is wrong
    │   ├── NothingToDo         the version is active already, or there is nothing to roll back to
    │   └── MissingTool         a program or package this machine needs is not there
    ├── LockHeld            another release is running on this site
    ├── ReleaseError        a step of a release failed; the release rolls back
    │   ├── NotHealthy          a slot did not become, or did not stay, healthy
    │   ├── NotConfirmed        the proxy does not serve the slot it should
    │   └── DeadlineExceeded    a wait ran out of time
    ├── RollbackFailed      an undo failed; a person is needed
    ├── JournalError        the history cannot be read or written
    │   └── SiteLost            a later holder of the site has written; this process acts no more
    ├── PlatformError       a slot could not be started, stopped or seen
    ├── ProxyError          nginx refused, or could not be reached
    └── TrafficError        the load could not be sent, or its records not read

An error says what failed, what was seen and what to do next (`remedy`).
"""

from __future__ import annotations


class CakraviaError(Exception):
    """Root of all errors raised on purpose; `remedy` names what to do next."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.remedy}" if self.remedy else self.message


class UsageError(CakraviaError):
    """What was asked for cannot be done; nothing was touched."""


class SettingsError(UsageError):
    """A setting is wrong; the message names the file, the key and the remedy."""


class NothingToDo(UsageError):  # noqa: N818 - reads aloud as the outcome it is
    """The site is already where the release would bring it, or has nowhere to go back to."""


class MissingTool(UsageError):  # noqa: N818
    """A program or package that is needed is not on this machine."""


class LockHeld(CakraviaError):  # noqa: N818
    """Another release holds the site."""


class ReleaseError(CakraviaError):
    """A step of the release failed."""


class NotHealthy(ReleaseError):  # noqa: N818
    """A slot did not become, or did not stay, healthy."""


class NotConfirmed(ReleaseError):  # noqa: N818
    """The proxy does not serve the slot it was told to."""


class DeadlineExceeded(ReleaseError):  # noqa: N818
    """A wait ran out of time."""


class RollbackFailed(CakraviaError):  # noqa: N818
    """An undo failed; the rollback stopped there and a person is needed."""


class JournalError(CakraviaError):
    """The history cannot be read or written."""


class SiteLost(JournalError):  # noqa: N818
    """Somebody else has held the site since, so this process neither writes nor acts any more."""


class PlatformError(CakraviaError):
    """A slot could not be started, stopped or observed."""


class ProxyError(CakraviaError):
    """The proxy refused a configuration, or could not be reached."""


class TrafficError(CakraviaError):
    """The load could not be sent, or its records could not be read."""
