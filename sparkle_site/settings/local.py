"""Development on one machine: Celery, files and the simulator replace SQS, S3 and Discord. The rest is the same."""

import os
from pathlib import Path

# For everything that a run writes. Not taken from `base`, which reads the environment that is set below.
LOCAL_DIR = Path(os.environ.get("SPARKLE_LOCAL_DIR") or Path(__file__).resolve().parents[2] / ".local")

os.environ.setdefault("DJANGO_SECRET_KEY", "local-development-only-" + "x" * 30)
os.environ.setdefault("DATABASE_URL", "postgres://postgres@127.0.0.1:5432/sparkle")
os.environ.setdefault("DISCORD_APPLICATION_ID", "1000000000000000001")
os.environ.setdefault("DISCORD_BOT_TOKEN", "local-bot-token")
# For development only: the simulator signs with this key, and the handler verifies with its public key.
os.environ.setdefault("SIMULATOR_SIGNING_KEY", "5b" * 32)

from nacl.signing import SigningKey  # noqa: E402

SIMULATOR_SIGNING_KEY = os.environ["SIMULATOR_SIGNING_KEY"]
os.environ.setdefault("DISCORD_PUBLIC_KEY", SigningKey(bytes.fromhex(SIMULATOR_SIGNING_KEY)).verify_key.encode().hex())
os.environ.setdefault("SITE_URL", "http://127.0.0.1:8000")
os.environ.setdefault("DISCORD_API_BASE", os.environ["SITE_URL"] + "/simulator/api/v10")

from .web import *  # noqa: E402, F403
from .web import CONTENT_SECURITY_POLICY, INSTALLED_APPS, SITE_URL, STORAGES, env  # noqa: E402

DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
CSRF_TRUSTED_ORIGINS = [SITE_URL]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = False
SECURE_HSTS_SECONDS = 0
INSTALLED_APPS = [*INSTALLED_APPS, "devtools.simulator"]
WHITENOISE_USE_FINDERS = True
# The finders serve all files, but whitenoise warns if this folder is missing.
STATIC_ROOT = LOCAL_DIR / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)

JOB_DISPATCHER = env.str("JOB_DISPATCHER", default="devtools.celery_dispatcher.CeleryDispatcher")
STORAGES = STORAGES | {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(LOCAL_DIR / "media"), "base_url": "/media/"},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# The simulator's pages set their own policy.
CONTENT_SECURITY_POLICY = CONTENT_SECURITY_POLICY | {"EXCLUDE_URL_PREFIXES": ["/simulator/"]}
OPERATORS_NEED_2FA = env.bool("OPERATORS_NEED_2FA", default=False)
# The simulator serves attachments without TLS.
DISCORD_CDN_HOSTS = ["127.0.0.1", "localhost"]
DISCORD_CDN_INSECURE = True
WEBHOOKS_INSECURE = True
