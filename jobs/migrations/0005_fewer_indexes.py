import django.db.models.deletion
from django.db import migrations, models


def drop(name: str, table: str, column: str) -> migrations.RunSQL:
    """Drop an index that another one serves for, without keeping anyone from writing."""
    return migrations.RunSQL(
        f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"',
        f'CREATE INDEX CONCURRENTLY "{name}" ON "{table}" ("{column}")',
    )


class Migration(migrations.Migration):
    # For CONCURRENTLY.
    atomic = False

    dependencies = [
        ("jobs", "0004_words"),
    ]

    # Each move of a request writes to all of its indexes, and each picture to all of a picture's.
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                drop("jobs_job_source_job_id_a4ed9e6b", "jobs_job", "source_job_id"),
                drop("jobs_jobimage_job_id_dc79519f", "jobs_jobimage", "job_id"),
            ],
            state_operations=[
                migrations.AlterField(
                    model_name="job",
                    name="source_job",
                    field=models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="jobs.job",
                    ),
                ),
                migrations.AlterField(
                    model_name="jobimage",
                    name="job",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="images",
                        to="jobs.job",
                    ),
                ),
            ],
        ),
    ]
