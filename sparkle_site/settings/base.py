"""Settings shared by all runtimes. Staging and production differ only in the environment variables read here."""

from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parents[2]
env = environ.Env()


def required(name: str) -> str:
    """Read a setting without a safe default. Raise ImproperlyConfigured, which names it, if it is missing."""
    value: str = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(
            f"{name} is not set. Set it in the environment (docs/reference/settings.md lists them all)."
        )
    return value


def secret(name: str) -> str:
    """Read a required secret: from `NAME`, or from AWS Secrets Manager by the ARN in `NAME_ARN`."""
    arn: str = env.str(f"{name}_ARN", default="")
    if arn and not env.str(name, default=""):
        from guilds.aws_secrets import get_secret

        return get_secret(arn)
    return required(name)


DEBUG = False
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS: list[str] = ["guilds", "jobs"]
MIDDLEWARE: list[str] = []
SECRET_KEY: str = env.str("DJANGO_SECRET_KEY", default="")


def database(url: str, *, statement_timeout_ms: int, pool: bool = False) -> dict[str, Any]:
    """Return a DATABASES entry with timeouts for connecting, waiting for a lock and running a statement."""
    config: dict[str, Any] = env.db_url_config(url)
    iam = env.bool("DATABASE_IAM_AUTH", default=False)
    if iam:
        config["ENGINE"] = "sparkle_site.rds"
    config["CONN_HEALTH_CHECKS"] = True
    config["CONN_MAX_AGE"] = 0 if pool else None
    lock_ms = max(500, statement_timeout_ms * 3 // 4)
    config.setdefault("OPTIONS", {})
    config["OPTIONS"] |= {
        "connect_timeout": 2,
        # Detects a dead server (failover, lost host) within half a minute. The server enforces statement timeouts, so
        # they do not help then.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
        "options": f"-c statement_timeout={statement_timeout_ms} -c lock_timeout={lock_ms}"
        " -c idle_in_transaction_session_timeout=30000",
    }
    if pool:
        config["OPTIONS"]["pool"] = {"min_size": 1, "max_size": env.int("DATABASE_POOL_SIZE", default=8), "timeout": 5}
        if iam:
            from sparkle_site.rds.connection import IamConnection

            config["OPTIONS"]["pool"]["connection_class"] = IamConnection
    return config


DISCORD_API_BASE = env.str("DISCORD_API_BASE", default="https://discord.com/api/v10")
DISCORD_APPLICATION_ID = env.int("DISCORD_APPLICATION_ID", default=0)
DISCORD_PUBLIC_KEY = env.str("DISCORD_PUBLIC_KEY", default="")
# Read when it is first needed, so that no import fetches a secret: guilds.aws_secrets.
DISCORD_BOT_TOKEN = env.str("DISCORD_BOT_TOKEN", default="")
DISCORD_BOT_TOKEN_ARN = env.str("DISCORD_BOT_TOKEN_ARN", default="")
DISCORD_CDN_HOSTS: list[str] = env.list("DISCORD_CDN_HOSTS", default=["cdn.discordapp.com", "media.discordapp.net"])
DISCORD_CDN_INSECURE = False
# For development: webhooks may be plain http, and in our own network.
WEBHOOKS_INSECURE = False

SQS_QUEUE_URL = env.str("SQS_QUEUE_URL", default="")
IMAGE_BUCKET = env.str("IMAGE_BUCKET", default="")
MODEL_ID = env.str("MODEL_ID", default=str(BASE_DIR / "demo_model" / "pipeline"))
JOB_DISPATCHER = env.str("JOB_DISPATCHER", default="jobs.dispatch.sqs.SqsDispatcher")
SITE_URL = env.str("SITE_URL", default="http://127.0.0.1:8000").rstrip("/")

SPARKLE_LEASE_SECONDS = env.int("SPARKLE_LEASE_SECONDS", default=60)
# When a queued job's message counts as lost and is sent again. The time doubles with each message.
SPARKLE_RESEND_AFTER_SECONDS = env.int("SPARKLE_RESEND_AFTER_SECONDS", default=300)
# When upkeep sends an end notification that is still missing.
SPARKLE_ANNOUNCE_AFTER_SECONDS = env.int("SPARKLE_ANNOUNCE_AFTER_SECONDS", default=20)
SPARKLE_MAX_ATTEMPTS = env.int("SPARKLE_MAX_ATTEMPTS", default=3)
# Work without progress for this long is stuck: the worker stops and its jobs are queued again (gpu_worker.watchdog).
SPARKLE_LOADING_BOUND_SECONDS = env.float("SPARKLE_LOADING_BOUND_SECONDS", default=900.0)
SPARKLE_STEP_BOUND_SECONDS = env.float("SPARKLE_STEP_BOUND_SECONDS", default=300.0)
SPARKLE_DECODING_BOUND_SECONDS = env.float("SPARKLE_DECODING_BOUND_SECONDS", default=300.0)
SPARKLE_PUBLISHING_BOUND_SECONDS = env.float("SPARKLE_PUBLISHING_BOUND_SECONDS", default=300.0)
SPARKLE_ENGINE = env.str("SPARKLE_ENGINE", default="diffusers")

STORAGES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "jobs.s3_storage.ImageStorage",
        "OPTIONS": {
            "bucket_name": IMAGE_BUCKET,
            "default_acl": None,
            "querystring_auth": True,
            "querystring_expire": 900,
            "file_overwrite": True,
            "object_parameters": {"CacheControl": "private, max-age=86400"},
        },
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "telemetry.logs.JsonFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    # httpx logs whole URLs at INFO, and the URL of an interaction contains its token.
    "loggers": {"httpx": {"level": "WARNING"}, "httpcore": {"level": "WARNING"}, "botocore": {"level": "WARNING"}},
}
