"""Add what the worker writes. The default is in the database, so the version before can still add notes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """An expanding migration."""

    dependencies = [("notes", "0001_initial")]  # noqa: RUF012 - Django's form
    operations = [  # noqa: RUF012
        migrations.AddField("note", "indexed_by", models.CharField(max_length=60, blank=True, db_default="")),
    ]
