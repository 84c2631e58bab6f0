"""The ports of tests: the same that throw-away sites take, so that each is given out once."""

from cakravia_verify.testing.ports import free_ports

__all__ = ["free_ports"]
