import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("guilds", "0004_usage_index"),
    ]

    # Words only: nothing of the database changes.
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterModelOptions(
                    name="staff",
                    options={"verbose_name": "moderator"},
                ),
                migrations.AlterField(
                    model_name="ban",
                    name="guild",
                    field=models.ForeignKey(
                        blank=True,
                        help_text="Empty: every server.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="guilds.guild",
                        verbose_name="server",
                    ),
                ),
                migrations.AlterField(
                    model_name="blockedterm",
                    name="guild",
                    field=models.ForeignKey(
                        blank=True,
                        help_text="Empty: every server.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="guilds.guild",
                        verbose_name="server",
                    ),
                ),
                migrations.AlterField(
                    model_name="quotarule",
                    name="guild",
                    field=models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="quota_rules",
                        to="guilds.guild",
                        verbose_name="server",
                    ),
                ),
                migrations.AlterField(
                    model_name="staff",
                    name="guild",
                    field=models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="staff",
                        to="guilds.guild",
                        verbose_name="server",
                    ),
                ),
                migrations.AlterField(
                    model_name="stylepreset",
                    name="guild",
                    field=models.ForeignKey(
                        blank=True,
                        help_text="Empty: every server.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="guilds.guild",
                        verbose_name="server",
                    ),
                ),
                migrations.AlterField(
                    model_name="usage",
                    name="guild",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="guilds.guild",
                        verbose_name="server",
                    ),
                ),
            ]
        )
    ]
