"""Interrupted releases, repair, up and down, rollback target and rollback checks."""
