"""Every other service, through the library apprise (the extra `notify`)."""

from __future__ import annotations

from typing import Final

from cakravia_verify.errors import MissingTool
from cakravia_verify.monitor.notify.channel import Credentials, NotDelivered
from cakravia_verify.monitor.notify.message import Message, Urgency

KIND: Final = {Urgency.INFO: "info", Urgency.WARNING: "warning", Urgency.PAGE: "failure"}


class Apprise:
    """Send to any service that has an apprise URL."""

    def __init__(self, name: str, credentials: Credentials) -> None:
        self.name = name
        self._credentials = credentials

    def send(self, message: Message) -> None:
        try:
            import apprise
        except ImportError as error:
            raise MissingTool(
                f"channel {self.name} needs the library apprise", remedy="pip install 'cakravia-verify[notify]'"
            ) from error
        service = apprise.Apprise()
        if not service.add(self._credentials.url):
            raise NotDelivered(f"the URL of channel {self.name} is none that apprise knows")
        kind = "success" if message.topic == "resolved" else KIND[message.urgency]
        if not service.notify(title=message.title, body=f"{message.text}\n\n{message.id}", notify_type=kind):
            raise NotDelivered("the service did not accept the message")
