import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # Indexes are built while requests come in.
    atomic = False

    dependencies = [("guilds", "0003_admin")]

    operations = [
        AddIndexConcurrently(
            "usage",
            models.Index(fields=["starts_at"], condition=models.Q(window="hour"), name="usage_hours"),
        ),
        AddIndexConcurrently(
            "usage",
            models.Index(
                fields=["starts_at"],
                condition=models.Q(("window", "hour"), _negated=True),
                name="usage_days_and_months",
            ),
        ),
        RemoveIndexConcurrently("usage", "usage_starts_at"),
        # usage_once begins with the guild. Django would lock the table to drop it.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    "DROP INDEX CONCURRENTLY guilds_usage_guild_id_2cdfecb5",
                    "CREATE INDEX CONCURRENTLY guilds_usage_guild_id_2cdfecb5 ON guilds_usage (guild_id)",
                )
            ],
            state_operations=[
                migrations.AlterField(
                    "usage",
                    "guild",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="guilds.guild"),
                )
            ],
        ),
    ]
