from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "sparkle_site.accounts"
    label = "sparkle_accounts"
