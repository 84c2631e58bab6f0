"""Index new notes, one after the other, until told to stop: a worker over a table of the database."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from notes.models import Note

# Each worker holds this lock of the database: two at once would be noticed.
LOCK = 20_260_101
PAUSE = 0.2


class Command(BaseCommand):
    """The worker. SIGTERM ends it after the note that it has."""

    help = "Index new notes until SIGTERM."

    def handle(self, *_: Any, **__: Any) -> None:
        """Work until the signal."""
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                raise CommandError("another worker is at work")
        self.stdout.write(f"worker of {settings.RELEASE} works")
        while not stop.is_set():
            if not index_one():
                stop.wait(PAUSE)
        self.stdout.write(f"worker of {settings.RELEASE} ends")


@transaction.atomic
def index_one() -> bool:
    """Index the oldest new note. Return whether there was one."""
    note = Note.objects.select_for_update(skip_locked=True).filter(indexed_by="").order_by("id").first()
    if note is None:
        return False
    note.indexed_by = settings.RELEASE
    note.save(update_fields=["indexed_by"])
    return True
