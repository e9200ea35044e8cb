"""The Django site on gunicorn: admin, dashboard, gallery."""

from typing import Any

from .base import *  # noqa: F403
from .base import (
    BASE_DIR,
    DISCORD_API_BASE,
    DISCORD_APPLICATION_ID,
    INSTALLED_APPS,
    SITE_URL,
    STORAGES,
    database,
    env,
    required,
    secret,
)

SECRET_KEY = secret("DJANGO_SECRET_KEY")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[SITE_URL.split("://")[-1].split(":")[0]])
CSRF_TRUSTED_ORIGINS = [SITE_URL]
DATABASES = {"default": database(required("DATABASE_URL"), statement_timeout_ms=10_000, pool=True)}

ROOT_URLCONF = "sparkle_site.urls"
WSGI_APPLICATION = "sparkle_site.wsgi.application"

INSTALLED_APPS = [
    *INSTALLED_APPS,
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "sparkle_site.admin.apps.SparkleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "simple_history",
    "sparkle_site.accounts",
    "sparkle_site.audit",
    "sparkle_site.pages",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "sparkle_site.accounts.discord",
    "allauth.mfa",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "sparkle_site.nul_byte_middleware.NulByteMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "sparkle_site.accounts.middleware.FreshRightsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "sparkle_site.pages.context_processors.viewer_access",
            ],
        },
    },
]

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = STORAGES | {"staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}}
# Shared by all processes, because rate limits and lockouts are counted here.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "sparkle_cache",
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    }
}

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=False)
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000)
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_SECURE = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# Discord's OAuth2 pages are not part of the versioned API.
DISCORD_OAUTH_BASE = env.str("DISCORD_OAUTH_BASE", default=DISCORD_API_BASE.rsplit("/api/", 1)[0] + "/oauth2")
DISCORD_CLIENT_SECRET = env.str("DISCORD_CLIENT_SECRET", default="")
# The admin reads from here what a model's repository holds. The names are those of Hugging Face's own libraries.
HF_ENDPOINT = env.str("HF_ENDPOINT", default="https://huggingface.co").rstrip("/")
HF_TOKEN = env.str("HF_TOKEN", default="")
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
# The dead-letter queue, which the admin shows and redrives.
SQS_DEAD_LETTER_URL = env.str("SQS_DEAD_LETTER_URL", default="")

AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# An operator's link to set a password, printed by create_operator. Seconds.
PASSWORD_RESET_TIMEOUT = 3600
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_ADAPTER = "sparkle_site.accounts.adapter.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
# Five wrong passwords for an account from one address lock it for that address for 15 minutes; twenty from one address
# lock all accounts for that address. The owner can still sign in from elsewhere.
ACCOUNT_RATE_LIMITS = {"login_failed": "20/15m/ip,5/15m/key", "login": "60/m/ip"}
SOCIALACCOUNT_ADAPTER = "sparkle_site.accounts.adapter.DiscordAccountAdapter"
SOCIALACCOUNT_AUTO_SIGNUP = True
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
SOCIALACCOUNT_PROVIDERS = {
    "discord": {
        "SCOPE": ["identify", "guilds"],
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [{"client_id": str(DISCORD_APPLICATION_ID), "secret": DISCORD_CLIENT_SECRET, "key": ""}],
    }
}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Sparkle"
# Operators without a second factor must set one up before they can do anything else.
OPERATORS_NEED_2FA = env.bool("OPERATORS_NEED_2FA", default=True)
SESSION_COOKIE_AGE = env.int("SESSION_COOKIE_AGE", default=14 * 24 * 3600)

CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "manifest-src": ["'self'"],
        "base-uri": ["'none'"],
        # Submitting the sign-in form redirects to Discord.
        "form-action": ["'self'", "/".join(DISCORD_OAUTH_BASE.split("/")[:3])],
        "frame-ancestors": ["'none'"],
    }
}

from ..admin.navigation import UNFOLD  # noqa: E402, F401
