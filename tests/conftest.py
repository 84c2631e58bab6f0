"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# A pipeline gives the same answer for the same commit; people at work get new examples in every run. How long one
# example takes says nothing on a machine that does other things as well.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
