from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    # Its own transaction, so that the look through the table holds no lock against writing.
    dependencies = [
        ('guilds', '0011_features_and_channel_rules'),
    ]

    operations = [
        ValidateConstraint(model_name='usage', name='usage_channel_id_bounds'),
    ]
