"""Read a Dockerfile: the port, the user, the health check and the base of its last stage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from cakravia_verify.setup.findings import ImageFile
from cakravia_verify.setup.source_files import text_of

_URL: Final = re.compile(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::[^/\s\"'`]*)?(/[^\s\"'`)|]*)?")


def read_image_file(path: Path) -> ImageFile:
    """Return what the last stage of a Dockerfile says. A stage begins with what the stage that it is built on says."""
    stages: dict[str, ImageFile] = {}
    arguments: dict[str, str] = {}
    name, now = "", ImageFile(path.name)
    for word, rest in _instructions(text_of(path)):
        if word == "ARG":
            key, _, value = rest.partition("=")
            arguments.setdefault(key.strip(), value.strip().strip("\"'"))
        elif word == "FROM":
            base, name = _stage_of(rest, arguments)
            now = stages.get(base) or ImageFile(path.name, base=base)
        else:
            now = _after(now, word, rest, arguments)
        stages[name] = now
    scripts = "".join(text_of(script) for script in path.parent.glob("*entrypoint*.sh"))
    return replace(now, migrates=now.migrates or "migrate" in scripts)


def _after(stage: ImageFile, word: str, rest: str, arguments: dict[str, str]) -> ImageFile:
    """Return the stage after one more instruction."""
    match word:
        case "EXPOSE":
            return replace(stage, port=_first_port(_filled(rest, arguments)) or stage.port)
        case "ENV":
            found = re.search(r"\bPORT[= ]\"?(\d{2,5})", rest)
            return replace(stage, port=stage.port or int(found[1])) if found else stage
        case "USER":
            return replace(stage, user=_filled(rest.split()[0], arguments))
        case "WORKDIR":
            return replace(stage, folder=rest.strip("\"'"))
        case "HEALTHCHECK":
            return replace(stage, health=asked_path(rest))
        case "CMD" | "ENTRYPOINT":
            return replace(stage, migrates=stage.migrates or "migrate" in rest)
    return stage


def asked_path(command: str) -> str:
    """Return the path that the command of a health check asks on this machine, "" if it asks none."""
    found = _URL.search(command)
    return (found[1] or "/") if found else ""


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    joined = re.sub(r"\\[ \t]*\n", " ", re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE))
    for line in joined.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word and rest.strip():
            yield word.upper(), rest.strip()


def _stage_of(rest: str, arguments: dict[str, str]) -> tuple[str, str]:
    words = [word for word in rest.split() if not word.startswith("--")]
    name = words[2] if len(words) >= 3 and words[1].upper() == "AS" else ""
    return _filled(words[0], arguments), name


def _filled(text: str, arguments: dict[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)(?::-[^}]*)?\}?", lambda found: arguments.get(found[1], ""), text)


def _first_port(rest: str) -> int:
    found = re.search(r"\b(\d{1,5})\b", rest)
    return int(found[1]) if found else 0
