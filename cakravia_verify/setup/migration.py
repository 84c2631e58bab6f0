"""Move a site's users from the set-up that runs today to this site's proxy, and back.

The old nginx keeps its address and passes requests on. Its files are kept first, with a manifest. The undo works from
the manifest alone, and also after a move that was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cakravia_verify.errors import CakraviaError, UsageError
from cakravia_verify.settings.models import Settings
from cakravia_verify.setup.passing_on import groups_of, passed_on
from cakravia_verify.system.files import write_atomically

NGINX_SECONDS: Final = 30.0
MOVING, MOVED, UNDONE = "moving", "moved", "undone"


@dataclass(frozen=True)
class OldFile:
    """A file of the old set-up: its place, what it holds, and what it will hold."""

    path: Path
    before: str
    after: str


@dataclass(frozen=True)
class OldSetUp:
    """The nginx of the old set-up. `nginx` is the command that runs its program; `users` is the address of users."""

    nginx: tuple[str, ...]
    users: str
    to: str
    old: tuple[str, ...]
    files: tuple[OldFile, ...]


def read_set_up(
    paths: Sequence[Path], *, nginx: Sequence[str], users: str, to: str, old: Sequence[str] = ()
) -> OldSetUp:
    """Return the old set-up and what changes in its files. Changes nothing.

    `old` are the targets to replace, needed if the files have several. Templates beside a file (`upstream.*.template`)
    are edited too, since the old scripts would copy one over it. Raises UsageError.
    """
    texts = {path: _read(path) for each in paths for path in _with_templates(each)}
    # A target without a port in a `proxy_pass` of one file may be the name of an upstream in another one.
    groups = [group for each in paths for group in groups_of(texts[each.resolve()])]
    if not groups or {target for group in groups for target in group} <= {to}:
        raise UsageError(
            f"{', '.join(map(str, paths))} passes no request to an application",
            remedy="name the file with proxy_pass or upstream: cakravia migrate --conf FILE",
        )
    if not old and len(set(groups)) > 1:
        named = ", ".join(" and ".join(group) for group in groups)
        raise UsageError(
            f"the old nginx passes requests to several places: {named}",
            remedy=f"name those of this application: cakravia migrate --from {groups[0][0]}",
        )
    # A template names the other slot of the old scripts.
    every = {target for text in texts.values() for group in groups_of(text) for target in group}
    replaced = frozenset(old or every)
    files = tuple(OldFile(path, text, passed_on(text, old=replaced, to=to)) for path, text in texts.items())
    targets = tuple(old) or tuple(dict.fromkeys(target for group in groups for target in group))
    return OldSetUp(tuple(nginx), users, to, targets, tuple(file for file in files if file.after != file.before))


def _with_templates(path: Path) -> list[Path]:
    # A site of Debian is a link into sites-available, which must stay a link.
    real = path.resolve()
    return [real, *sorted(real.parent.glob(f"{real.stem}.*.template"))]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}", remedy="name the file with --conf, as a user who may read it"
        ) from error


class Migration:
    """The manifest of one migration, in the state folder."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.state / "migration"
        self._manifest = self.folder / "manifest.json"

    @property
    def state(self) -> str:
        """`moving`, `moved` or `undone`; "" without a migration."""
        return str(self._facts().get("state", ""))

    @property
    def set_up(self) -> OldSetUp:
        """The old set-up of the manifest. Raises UsageError without one."""
        facts = self._facts()
        if not facts:
            raise UsageError(
                "nothing was migrated here", remedy="cakravia migrate --conf FILE moves users to this site"
            )
        files = tuple(
            OldFile(
                Path(row["path"]), (self.folder / row["before"]).read_text(), (self.folder / row["after"]).read_text()
            )
            for row in facts["files"]
        )
        return OldSetUp(tuple(facts["nginx"]), facts["users"], facts["to"], tuple(facts["old"]), files)

    def begin(self, set_up: OldSetUp) -> None:
        """Keep every file, then write the manifest. Raises UsageError if users were moved already."""
        if self.state in (MOVING, MOVED):
            raise UsageError(f"users were moved already ({self.state})", remedy="go back first: cakravia migrate undo")
        rows = []
        for number, file in enumerate(set_up.files):
            for kind, text in (("before", file.before), ("after", file.after)):
                write_atomically(self.folder / f"{number}.{kind}", text.encode())
            sums = {f"{kind}_sha256": _sum(text) for kind, text in (("before", file.before), ("after", file.after))}
            rows.append({"path": str(file.path), "before": f"{number}.before", "after": f"{number}.after", **sums})
        facts = {key: value for key, value in asdict(set_up).items() if key != "files"}
        self._write(facts | {"files": rows, "state": MOVING})

    def mark(self, state: str) -> None:
        self._write(self._facts() | {"state": state})

    def _facts(self) -> dict[str, Any]:
        try:
            facts: dict[str, Any] = json.loads(self._manifest.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{self._manifest} cannot be read: {error}", remedy="put the files beside it back by hand"
            ) from error
        return facts

    def _write(self, facts: dict[str, Any]) -> None:
        write_atomically(self._manifest, json.dumps(facts, indent=1).encode())


def write_old_files(set_up: OldSetUp, *, back: bool) -> None:
    """Write every file as it will be, or `back` as it was. Owner and mode stay.

    Raises UsageError, before anything is written, if a file holds neither of the two.
    """
    for file in set_up.files:
        present = _read(file.path)
        if present not in (file.before, file.after):
            raise UsageError(
                f"{file.path} was changed since; nothing was written",
                remedy="bring your change in by hand, then type the command again",
            )
    for file in set_up.files:
        _write_in_place(file.path, file.before if back else file.after)


def _write_in_place(path: Path, text: str) -> None:
    """Replace the content. A file that a container mounts must stay the same file, so it is not renamed into place."""
    with path.open("r+", encoding="utf-8") as file:
        file.write(text)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def reload_old_nginx(set_up: OldSetUp, *, told: Callable[[str], None] = lambda _: None) -> None:
    """Test the configuration of the old nginx, and reload it. Raises CakraviaError with nginx's own words."""
    for arguments in (("-t",), ("-s", "reload")):
        command = [*set_up.nginx, *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=NGINX_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CakraviaError(
                f"{shlex.join(command)} failed: {error}",
                remedy='name the program: cakravia migrate --nginx "sudo nginx"',
            ) from error
        if done.returncode:
            words = " ".join((done.stderr or done.stdout).split())[-600:]
            raise CakraviaError(f"{shlex.join(command)} failed: {words}", remedy="correct the old configuration")
        told(shlex.join(command))


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
