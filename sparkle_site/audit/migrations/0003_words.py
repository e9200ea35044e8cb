import django.db.models.deletion
from django.db import migrations, models

FIELD = {
    "blank": True,
    "null": True,
    "db_constraint": False,
    "on_delete": django.db.models.deletion.DO_NOTHING,
    "related_name": "+",
    "to": "guilds.guild",
    "verbose_name": "server",
}
EVERYWHERE = FIELD | {"help_text": "Empty: every server."}


class Migration(migrations.Migration):
    dependencies = [
        ("guilds", "0005_words"),
        ("sparkle_audit", "0002_platform_budget"),
    ]

    # Words only: nothing of the database changes.
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(model, "guild", models.ForeignKey(**options))
                for model, options in (
                    ("historicalban", EVERYWHERE),
                    ("historicalblockedterm", EVERYWHERE),
                    ("historicalquotarule", FIELD),
                    ("historicalstylepreset", EVERYWHERE),
                )
            ]
        )
    ]
