"""Pins: which version the idle slot still answers for requests that name it, and until when.

A pin is a folder of empty files below the flags: `pins/<slot>/<version>/<span>`. A span is a stretch of time, named by
the first digits of the seconds since 1970. nginx tests the file of the present span. So a pin ends by itself, and no
process has to be there for it.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from cakravia_verify.errors import ProxyError
from cakravia_verify.settings.skew import SkewSettings
from cakravia_verify.slots import Colour
from cakravia_verify.system.files import make_folder

PINS = "pins"


def spans_of(skew: SkewSettings, *, now: float) -> tuple[str, ...]:
    """Return the names of the spans from `now` (seconds since 1970) on that end before the maximum age."""
    first, last = math.floor(now / skew.span), math.floor((now + skew.max_age) / skew.span)
    return tuple(str(span) for span in range(first, last))


def put_pin(flags: Path, colour: Colour, version: str, spans: tuple[str, ...]) -> None:
    """Replace the pins of the slot by one for `version`. Raises ProxyError."""
    draft = flags / PINS / f".{colour}"
    try:
        make_folder(flags / PINS)
        shutil.rmtree(draft, ignore_errors=True)
        (draft / version).mkdir(parents=True)
        for span in spans:
            (draft / version / span).touch(mode=0o644)
        remove_pin(flags, colour)
        draft.replace(flags / PINS / colour)
    except OSError as error:
        raise ProxyError(
            f"the pin of {version} cannot be written below {flags}: {error.strerror}",
            remedy="free space on the disk, or correct the permissions of its folder; users are where they were",
        ) from error


def remove_pin(flags: Path, colour: Colour) -> None:
    """Remove the pins of the slot: one rename, then the files. Raises ProxyError."""
    place, aside = flags / PINS / colour, flags / PINS / f".{colour}.old"
    shutil.rmtree(aside, ignore_errors=True)
    if not place.exists():
        return
    try:
        place.replace(aside)
    except OSError as error:
        raise ProxyError(
            f"the pin {place} cannot be removed: {error.strerror}", remedy="correct the permissions of its folder"
        ) from error
    shutil.rmtree(aside, ignore_errors=True)
