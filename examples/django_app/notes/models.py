"""The tables of the app."""

from django.db import models


class Note(models.Model):
    """One note."""

    text = models.CharField(max_length=200)
    written_at = models.DateTimeField(auto_now_add=True)
    # The release whose worker indexed it; empty until then.
    indexed_by = models.CharField(max_length=60, blank=True, db_default="")
