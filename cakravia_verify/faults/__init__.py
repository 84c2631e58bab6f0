"""Failures that are injected: context managers that heal on exit, and what each may cost."""
