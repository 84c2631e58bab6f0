"""Being woken at an instant, to the microsecond where Linux allows it.

libev asks epoll to wait in whole milliseconds and rounds up, which would add up to 1 ms to every planned request and to
every emulated way through the network. A timerfd (timerfd_create(2)) has no such grain.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import gevent

from cakravia_verify.system.clock import NEVER, SECOND, Microseconds, to_seconds

_READ = 1
_monotonic_ns: Callable[[], Any] = time.monotonic_ns


def now_us() -> Microseconds:
    """Return CLOCK_MONOTONIC. Called several times for each request: it converts without a call."""
    now: Microseconds = _monotonic_ns() // 1000
    return now


class Timer:
    """Calls back at instants of CLOCK_MONOTONIC, in their order, in the hub's greenlet; callbacks must not block."""

    def __init__(self) -> None:
        self._hub: Any = gevent.get_hub()
        self._due: list[tuple[Microseconds, int, Callable[[], object]]] = []
        self._count = 0
        self._armed = NEVER
        try:
            self._timer: _TimerFd | None = _TimerFd()
            self._watcher = self._hub.loop.io(self._timer.file, _READ)
            self._watcher.start(self._ring)
        except (OSError, AttributeError):  # not Linux
            self._timer = None
            self._watcher = self._hub.loop.timer(0.0)

    def at(self, when: Microseconds, callback: Callable[[], object]) -> None:
        self._count += 1
        heappush(self._due, (when, self._count, callback))
        if when < self._armed:
            self._arm(when)

    def sleep_until(self, when: Microseconds) -> None:
        """Lets other greenlets run until `when`."""
        self.at(when, gevent.getcurrent().switch)
        self._hub.switch()

    def close(self) -> None:
        self._due.clear()
        self._watcher.stop()
        self._watcher.close()
        if self._timer is not None:
            os.close(self._timer.file)

    def _arm(self, when: Microseconds) -> None:
        self._armed = when
        if self._timer is not None:
            self._timer.set(when)
        else:
            self._watcher.stop()
            self._watcher = self._hub.loop.timer(max(0.0, to_seconds(when - now_us())))
            self._watcher.start(self._ring)

    def _ring(self) -> None:
        due = self._due
        self._armed = Microseconds(0)  # no arming from inside: it is done once below
        try:
            while due and due[0][0] <= now_us():
                heappop(due)[2]()
        finally:
            self._armed = NEVER
            if due:
                self._arm(due[0][0])  # which also takes back the ring that is not read yet
            elif self._timer is not None:
                self._timer.clear()


class _TimerFd:
    """timerfd_create(2) on CLOCK_MONOTONIC with absolute instants; in Python itself only from 3.13 on."""

    _CLOCK_MONOTONIC = 1
    _FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
    _ABSOLUTE = 1

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._settime = libc.timerfd_settime
        self.file: int = libc.timerfd_create(self._CLOCK_MONOTONIC, self._FLAGS)
        if self.file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._value = (ctypes.c_long * 4)()
        self._pointer = ctypes.byref(self._value)

    def set(self, when: Microseconds) -> None:
        when = max(Microseconds(1), when)
        self._value[2] = when // SECOND
        self._value[3] = int(when % SECOND) * 1000
        self._settime(self.file, self._ABSOLUTE, self._pointer, None)

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.file, 8)
