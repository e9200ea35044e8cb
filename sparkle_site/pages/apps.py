from django.apps import AppConfig


class PagesConfig(AppConfig):
    name = "sparkle_site.pages"
    label = "sparkle_pages"
