"""Channels that are one HTTP request: a webhook of your own, and ntfy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import httpx

from cakravia_verify.errors import UsageError
from cakravia_verify.monitor.notify.channel import Credentials, NotDelivered
from cakravia_verify.monitor.notify.message import Message, Urgency

NTFY_PRIORITY: Final = {Urgency.INFO: 2, Urgency.WARNING: 3, Urgency.PAGE: 5}
NTFY_MOST_BYTES: Final = 3_500


class Webhook:
    """POST the message as JSON. A secret is sent as a bearer token. Any 2xx answer means delivered."""

    def __init__(self, name: str, credentials: Credentials, *, timeout: float) -> None:
        self.name = name
        self._credentials = credentials
        self._timeout = timeout

    def send(self, message: Message) -> None:
        _post(self._credentials.url, message.as_json(), message, self._credentials, timeout=self._timeout)


class Ntfy:
    """Publish to a topic of an ntfy server. The URL is that of the topic, as in https://ntfy.sh/my-topic."""

    def __init__(self, name: str, credentials: Credentials, *, timeout: float) -> None:
        self.name = name
        self._credentials = credentials
        self._timeout = timeout

    def send(self, message: Message) -> None:
        parts = urlsplit(self._credentials.url)
        path, _, topic = parts.path.rstrip("/").rpartition("/")
        if not topic:
            raise UsageError(f"the ntfy channel {self.name} names no topic", remedy="write https://SERVER/TOPIC")
        text = f"{message.text}\n\n{message.id}".encode()[-NTFY_MOST_BYTES:].decode(errors="ignore")
        content: dict[str, Any] = {
            "topic": topic,
            "title": message.title,
            "message": text,
            "priority": NTFY_PRIORITY[message.urgency],
            "tags": [message.topic, message.site],
        }
        server = urlunsplit((parts.scheme, parts.netloc, path or "/", "", ""))
        _post(server, json.dumps(content), message, self._credentials, timeout=self._timeout)


def _post(url: str, body: str, message: Message, credentials: Credentials, *, timeout: float) -> None:
    headers: Mapping[str, str] = {
        "Content-Type": "application/json",
        "User-Agent": "cakravia-monitor",
        "X-Cakravia-Message-Id": message.id,
        **({"Authorization": f"Bearer {secret}"} if (secret := credentials.secret) else {}),
    }
    try:
        with (
            httpx.Client(timeout=timeout, follow_redirects=False) as client,
            client.stream("POST", url, content=body.encode(), headers=headers) as answer,
        ):
            status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        reason = credentials.redacted(f"{type(error).__name__}: {error}")
        raise NotDelivered(f"{urlsplit(url).hostname} did not answer: {reason}") from error
    if not 200 <= status < 300:
        raise NotDelivered(f"{urlsplit(url).hostname} answered with status {status}")
