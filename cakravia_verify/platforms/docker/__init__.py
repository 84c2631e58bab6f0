"""Slots and proxy as containers of a Docker Engine."""
