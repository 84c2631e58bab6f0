"""The whole output of a release's build, in its report folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from cakravia_verify.release.machine import Release

BUILD_LOG: Final = "build.log"


def keep_build_log(folder: Path, release: Release) -> list[str]:
    """Copy the output of the release's build into the report folder. Returns a line if that failed."""
    log = release.site.platform.build_log
    if log is None or release.intent.policy.goes_back or "build" not in release.begun or not log.exists():
        return []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, folder / BUILD_LOG)
    except OSError as error:
        return [f"the output of the build could not be written to {folder / BUILD_LOG}: {error.strerror}"]
    return []
