"""Files for a proxy to keep."""

from __future__ import annotations

from pathlib import Path


def files_in(folder: Path, contents: dict[str, bytes]) -> dict[str, Path]:
    """Write the contents into the folder. Returns the files by the URL path under which they are served."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for number, (path, content) in enumerate(contents.items()):
        found[path] = folder / str(number)
        found[path].write_bytes(content)
    return found
