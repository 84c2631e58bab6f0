"""The app `notes`."""

from django.apps import AppConfig


class NotesConfig(AppConfig):
    """Short notes in the database."""

    name = "notes"
