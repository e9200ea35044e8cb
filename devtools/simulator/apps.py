"""A stand-in for Discord: installed for development and tests only."""

from django.apps import AppConfig


class SimulatorConfig(AppConfig):
    name = "devtools.simulator"
    label = "simulator"
    verbose_name = "Discord simulator"
    default_auto_field = "django.db.models.BigAutoField"
