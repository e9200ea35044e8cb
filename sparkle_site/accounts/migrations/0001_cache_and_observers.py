"""The table of the shared cache, in which rate limits count, and the group of those who only look."""

from django.core.management import call_command
from django.db import migrations


def make(apps, schema_editor):
    call_command("createcachetable", "sparkle_cache", database=schema_editor.connection.alias, verbosity=0)
    apps.get_model("auth", "Group").objects.get_or_create(name="Observers")


class Migration(migrations.Migration):
    initial = True
    dependencies = [("auth", "0012_alter_user_first_name_max_length")]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
