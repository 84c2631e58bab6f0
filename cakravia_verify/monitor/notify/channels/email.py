"""Messages by e-mail."""

from __future__ import annotations

import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from cakravia_verify.errors import UsageError
from cakravia_verify.monitor.notify.channel import Credentials, NotDelivered
from cakravia_verify.monitor.notify.message import Message


class Email:
    """Send by SMTP. `smtps://` begins with TLS; `smtp://` uses STARTTLS when the server offers it.

    A password is sent through TLS only.
    """

    def __init__(
        self, name: str, credentials: Credentials, *, sender: str, to: tuple[str, ...], timeout: float
    ) -> None:
        self.name = name
        self._credentials = credentials
        self._sender = sender
        self._to = to
        self._timeout = timeout

    def send(self, message: Message) -> None:
        try:
            with self._connected() as server:
                refused = server.send_message(self._mail(message), self._sender, list(self._to))
        except (smtplib.SMTPException, OSError, ValueError) as error:
            reason = self._credentials.redacted(f"{type(error).__name__}: {error}")
            raise NotDelivered(f"the mail server did not accept the message: {reason}") from error
        if refused:
            raise NotDelivered(f"the mail server refused {', '.join(refused)}")

    def _connected(self) -> smtplib.SMTP:
        parts = urlsplit(self._credentials.url)
        host = parts.hostname or ""
        if parts.scheme == "smtps":
            context = ssl.create_default_context()
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=self._timeout, context=context)
        else:
            server = smtplib.SMTP(host, parts.port or 25, timeout=self._timeout)
        try:
            self._secure(server, user=unquote(parts.username or ""), host=host)
        except BaseException:
            server.close()
            raise
        return server

    def _secure(self, server: smtplib.SMTP, *, user: str, host: str) -> None:
        server.ehlo_or_helo_if_needed()
        if not isinstance(server, smtplib.SMTP_SSL) and server.has_extn("starttls"):
            server.starttls(context=ssl.create_default_context())
        elif user and not isinstance(server, smtplib.SMTP_SSL) and not _is_loopback(host):
            raise UsageError(
                f"the mail server {host} offers no TLS, so the password of channel {self.name} is not sent",
                remedy="use smtps://, or a server that offers STARTTLS",
            )
        if user:
            server.login(user, self._credentials.secret)

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["From"] = self._sender
        mail["To"] = ", ".join(self._to)
        mail["Subject"] = " ".join(message.title.split())
        mail["Date"] = format_datetime(datetime.fromtimestamp(message.at, UTC))
        mail["Message-ID"] = f"<{message.id}@{message.site}.cakravia>"
        mail["X-Cakravia-Message-Id"] = message.id
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(f"{message.text}\n\n{message.id}\n")
        return mail


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
