"""Replaces Django's admin site with Sparkle's and registers the admin classes."""

from django.apps import apps
from django.contrib.admin.apps import AdminConfig


class SparkleAdminConfig(AdminConfig):
    default_site = "sparkle_site.admin.site.SparkleAdminSite"

    def ready(self) -> None:
        super().ready()
        from . import (  # noqa: F401  # register
            adapters,
            api_keys,
            bans,
            blocked_terms,
            guilds,
            images,
            jobs,
            model_profiles,
            operator_admin,
            prompt_lists,
            styles,
            usage,
            users,
        )

        # Shown first in the breadcrumbs.
        apps.get_app_config("auth").verbose_name = "Sparkle"
