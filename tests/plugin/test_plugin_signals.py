"""Which signals end a session, and which were not ours to take."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SESSION = """
import os, signal, sys
from cakravia_verify.plugin.signals import Interrupts
ignored = [signal.Signals[name] for name in sys.argv[2:]]
for number in ignored:
    signal.signal(number, signal.SIG_IGN)
interrupts = Interrupts()
interrupts.install()
try:
    os.kill(os.getpid(), signal.Signals[sys.argv[1]])
except KeyboardInterrupt as interrupt:
    print("interrupted by", interrupt)
else:
    print("left alone")
interrupts.restore()
print(*(name.name for name in ignored if signal.getsignal(name) is signal.SIG_IGN))
"""


def session(sent: signal.Signals, *ignored: signal.Signals) -> list[str]:
    command = [sys.executable, "-c", SESSION, sent.name, *(number.name for number in ignored)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_that_the_starter_ignores_stays_ignored(number: signal.Signals) -> None:
    """So `nohup` asks for SIGHUP, and a shell without job control for the SIGINT of what runs in its background."""
    assert session(number, number) == ["left alone", number.name]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_other_signal_interrupts(number: signal.Signals) -> None:
    ignored = signal.SIGHUP if number is not signal.SIGHUP else signal.SIGINT
    assert session(number, ignored)[0] == f"interrupted by {number.name}"
