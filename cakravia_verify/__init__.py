"""Releases of a web application that lose nothing, and can prove it."""

__version__ = "0.1.0"
