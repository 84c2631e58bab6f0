"""Settings for pages that are open in browsers while the version changes."""

from __future__ import annotations

import math
from typing import Annotated, Final, TypeAlias

from pydantic import Field

from cakravia_verify.settings.section import Section

# nginx's configuration contains these values.
AssetPrefix: TypeAlias = Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/@+-]*$", min_length=2)]
HeaderName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]*$")]
VariableName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]*$")]
# The permission of a pinned version is one empty file for each span of time (see `SkewSettings.span`).
MOST_SPANS: Final = 1000
LONGEST_PIN: Final = 864_000.0


class SkewSettings(Section):
    """How a request names the version of its page, and how long that version's slot still answers it.

    `max_age` is in seconds after the switch. The names of `header`, `query` and `cookie` are empty for none.
    """

    header: HeaderName = ""
    query: VariableName = ""
    cookie: VariableName = ""
    max_age: Annotated[float, Field(ge=1, le=LONGEST_PIN)] = 43_200.0
    after_rollback: bool = False

    @property
    def is_on(self) -> bool:
        return bool(self.header or self.query or self.cookie)

    @property
    def span(self) -> int:
        """The seconds, a power of ten, for which one file permits requests to a pinned version."""
        return int(10 ** max(0, math.ceil(math.log10(self.max_age / MOST_SPANS))))
