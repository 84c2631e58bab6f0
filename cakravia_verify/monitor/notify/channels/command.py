"""Messages handed to a program of your own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from cakravia_verify.monitor.notify.channel import NotDelivered
from cakravia_verify.monitor.notify.message import Message


class Command:
    """Run a program with the message as JSON on its standard input. Exit status 0 means delivered.

    CAKRAVIA_MESSAGE_ID, CAKRAVIA_MESSAGE_TOPIC, CAKRAVIA_MESSAGE_URGENCY and CAKRAVIA_MESSAGE_TITLE are in its
    environment. The program and everything it started are killed after `timeout` seconds.
    """

    def __init__(self, name: str, command: tuple[str, ...], *, folder: Path, timeout: float) -> None:
        self.name = name
        self._command = command
        self._folder = folder
        self._timeout = timeout

    def send(self, message: Message) -> None:
        environment = os.environ | {
            "CAKRAVIA_MESSAGE_ID": message.id,
            "CAKRAVIA_MESSAGE_TOPIC": message.topic,
            "CAKRAVIA_MESSAGE_URGENCY": message.urgency,
            "CAKRAVIA_MESSAGE_TITLE": message.title.replace("\0", ""),
        }
        try:
            process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise NotDelivered(f"{self._command[0]} does not start: {error.strerror}") from error
        try:
            process.communicate(message.as_json().encode(), timeout=self._timeout)
        except subprocess.TimeoutExpired as error:
            raise NotDelivered(f"{self._command[0]} did not end within {self._timeout:g} s") from error
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode:
            raise NotDelivered(f"{self._command[0]} ended with status {process.returncode}")
