"""Puts Sparkle's own site in the place of Django's, and registers what it shows."""

from django.apps import apps
from django.contrib.admin.apps import AdminConfig


class SparkleAdminConfig(AdminConfig):
    default_site = "sparkle_site.admin.site.SparkleAdminSite"

    def ready(self) -> None:
        super().ready()
        from . import bans, blocked_terms, guilds, images, jobs, operations, styles, usage, users  # noqa: F401  # register

        # What the breadcrumbs begin with, as those of our own apps do.
        apps.get_app_config("auth").verbose_name = "Sparkle"
