from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # An index is built without a lock only outside a transaction.
    atomic = False

    dependencies = [
        ('jobs', '0006_painted_area'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='job',
            index=models.Index(condition=models.Q(('painted_area', ''), _negated=True), fields=['painted_area'], name='job_painted_area'),
        ),
    ]
