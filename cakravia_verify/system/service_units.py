"""Services of systemd: the parts of a unit file, its owner, and systemctl."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Final

from cakravia_verify.errors import CakraviaError, UsageError

_BOOTED: Final = Path("/run/systemd/system")


class Scope(Enum):
    """Whose service it is: that of the whole machine, or of one user."""

    SYSTEM = "system"
    USER = "user"

    @property
    def systemctl(self) -> list[str]:
        """The program that manages its services."""
        return ["systemctl", *(["--user"] if self is Scope.USER else [])]

    @property
    def wanted_by(self) -> str:
        """The target with which the service starts."""
        return "multi-user.target" if self is Scope.SYSTEM else "default.target"

    def unit_file(self, name: str, *, into: Path = Path("/")) -> Path:
        """Return where the unit of that name belongs, below `into`."""
        if self is Scope.SYSTEM:
            return into / f"etc/systemd/system/{name}.service"
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        folder = into / home.relative_to("/") if into != Path("/") else home
        return folder / f"systemd/user/{name}.service"


def owner_of(state: Path, root: Path) -> pwd.struct_passwd:
    """Return the user whose site it is: the owner of its state, else of its folder. Raises UsageError."""
    place = state if state.exists() else root
    try:
        return pwd.getpwuid(place.stat().st_uid)
    except KeyError as error:
        raise UsageError(
            f"{place} belongs to a user that this machine does not know", remedy="give it to the user of the site"
        ) from error


def give(path: Path, owner: pwd.struct_passwd) -> None:
    """Make the user the owner of the file, if this process may."""
    if os.geteuid() == 0:
        os.chown(path, owner.pw_uid, owner.pw_gid)


def engine_group() -> Sequence[str]:
    """Return the line of a unit for the group that may use the engine's socket; none if root alone may."""
    socket = Path("/var/run/docker.sock")
    if not socket.exists() or (group := socket.stat().st_gid) == 0:
        return ()
    return (f"SupplementaryGroups={group}",)


def run_systemctl(scope: Scope, *commands: Sequence[str], name: str) -> Iterator[str]:
    """Run the commands, or say what to type when systemd does not run here. Raises UsageError."""
    for command in commands:
        line = [*scope.systemctl, *command]
        if not _BOOTED.is_dir() or not shutil.which("systemctl"):
            yield f"systemd does not run here; type later: {' '.join(line)}"
            continue
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UsageError(f"{' '.join(line)}: {done.stderr.strip()}", remedy=f"see: journalctl -u {name}")
        yield f"ran {' '.join(line)}"


@contextlib.contextmanager
def as_usage_error() -> Iterator[None]:
    """Translate an OSError of the block to UsageError."""
    try:
        yield
    except CakraviaError:
        raise
    except OSError as error:
        raise UsageError(
            f"{error.filename or 'a file'} cannot be written: {error.strerror}",
            remedy="use sudo for a service of the machine, or --user for one of your own",
        ) from error


def escaped(text: str) -> str:
    """Return the text for a value of a unit file, in which `%` begins a specifier."""
    return text.replace("%", "%%")


def quoted(text: str) -> str:
    """Return the text as one word of a command in a unit file."""
    word = escaped(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{word}"'
