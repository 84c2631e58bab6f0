"""A release while it runs, read from its own files."""
