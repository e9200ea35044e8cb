from django.apps import AppConfig


class DiscordSignInConfig(AppConfig):
    name = "sparkle_site.accounts.discord"
    label = "sparkle_discord_sign_in"
