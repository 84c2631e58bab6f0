"""One file per kind of session."""

from typing import Final

# The name under which pytest knows the session's plugin.
PLUGIN_NAME: Final = "cakravia-gatekeeper"
