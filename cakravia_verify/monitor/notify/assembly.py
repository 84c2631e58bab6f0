"""Channels and outbox, put together from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cakravia_verify.monitor.notify.channel import Channel, Credentials
from cakravia_verify.monitor.notify.message import Urgency
from cakravia_verify.settings.monitor import ChannelSettings, NotifySettings


def open_channel(settings: ChannelSettings, root: Path) -> Channel:
    """Return the channel. Nothing is read or sent yet. Paths start from `root`."""
    credentials, name, timeout = Credentials(settings, root), settings.name, settings.timeout
    match settings.kind:
        case "webhook":
            from cakravia_verify.monitor.notify.channels.http import Webhook

            return Webhook(name, credentials, timeout=timeout)
        case "ntfy":
            from cakravia_verify.monitor.notify.channels.http import Ntfy

            return Ntfy(name, credentials, timeout=timeout)
        case "smtp":
            from cakravia_verify.monitor.notify.channels.email import Email

            return Email(name, credentials, sender=settings.sender, to=settings.to, timeout=timeout)
        case "command":
            from cakravia_verify.monitor.notify.channels.command import Command

            return Command(name, settings.command, folder=root, timeout=timeout)
        case "apprise":
            from cakravia_verify.monitor.notify.channels.apprise import Apprise

            return Apprise(name, credentials)


def least_urgencies(settings: NotifySettings) -> Mapping[str, Urgency]:
    """Return the least urgency that each channel wants."""
    return {channel.name: Urgency(channel.least) for channel in settings.channels}
