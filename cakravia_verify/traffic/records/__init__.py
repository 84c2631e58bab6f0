"""The client's request records."""
