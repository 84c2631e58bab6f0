"""The version that was active before the present one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cakravia_verify.history.journal_file import JournalEntry
from cakravia_verify.history.releases import records


@dataclass(frozen=True)
class Build:
    """One exact build of a version. `digest` is empty if the history does not contain it."""

    version: str
    digest: str

    def is_of(self, version: str, digest: str) -> bool:
        """Return whether this may be that build. Two versions can have one digest, and one version two digests."""
        return self.version == version and digest in ("", self.digest or digest)


def previous_of(entries: Iterable[JournalEntry], *, version: str, digest: str = "") -> Build | None:
    """Return the build that was active before the active one, None if there is none.

    A rollback removes everything after its target. So two rollbacks go two versions back, and never forward again.
    The first release in the history names the version that was active before it.
    """
    line: list[Build] = []
    holding = [record for record in records(entries) if record.holds_users]
    if holding and not holding[0].intent.policy.goes_back and holding[0].intent.active_version:
        line.append(Build(holding[0].intent.active_version, holding[0].intent.active_digest))
    for record in holding:
        build = Build(record.intent.version, record.digest)
        if record.intent.policy.goes_back:
            same = [at for at, other in enumerate(line) if other.is_of(build.version, build.digest)]
            line = line[: same[-1]] if same else line
        line.append(build)
    active = [at for at, build in enumerate(line) if build.is_of(version, digest)]
    earlier = [build for build in line[: active[-1] if active else None] if not build.is_of(version, digest)]
    return earlier[-1] if earlier else None
