"""What this machine is, for a report."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

_GIB: Final = 2**30


def environment_facts(folder: Path) -> Mapping[str, str]:
    """Return what describes the machine, by name. `folder` is on the disk whose free space counts."""
    memory = psutil.virtual_memory()
    facts = {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
        "processors": str(os.cpu_count() or "unknown"),
        "load at the end": " ".join(f"{each:.1f}" for each in os.getloadavg()),
        "memory": f"{memory.total / _GIB:.1f} GiB, {memory.available / _GIB:.1f} GiB available",
    }
    with contextlib.suppress(OSError):
        facts["disk"] = f"{shutil.disk_usage(folder).free / _GIB:.1f} GiB free"
    return facts
