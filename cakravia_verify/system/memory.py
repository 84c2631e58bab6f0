"""The memory of a process that runs for months: what is imported for nothing stays out, what is free goes back."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def left_out_of_imports(*names: str) -> Iterator[None]:
    """Let these packages look absent to what is imported inside. Later imports find them again.

    A package that is imported already stays.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: an import of it raises ImportError
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def give_back_free_memory() -> None:
    """Return free pages of the heap to the kernel. Another C library than glibc keeps them."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
