"""How held requests wait in nginx, which has no directive for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# A held request asks for the end of the hold after each pause, in milliseconds, STEPS times in each round. nginx
# follows at most 10 internal redirects of one request.
PAUSE: Final = 100
STEPS: Final = 8
# The longest hold, in seconds.
LONGEST_HOLD: Final = 60


@dataclass(frozen=True)
class Hold:
    """`rounds` of `steps` pauses. `name` is the host that held requests ask, secret to users."""

    name: str
    pause: str
    steps: int
    rounds: int


def hold_of(site_key: str) -> Hold:
    return Hold(f"hold-{site_key}.cakravia", f"{PAUSE}ms", STEPS, rounds=LONGEST_HOLD * 1000 // (PAUSE * STEPS) + 1)
