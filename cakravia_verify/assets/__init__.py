"""The files that pages need: found in pages, and kept when the version changes."""
