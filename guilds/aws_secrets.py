"""The bot token and other secrets from AWS Secrets Manager, fetched once per process on first use."""

import functools
import json

from django.conf import settings

from discord_api.errors import Unavailable


@functools.lru_cache(maxsize=1)
def get_secret(arn: str) -> str:
    """Return the secret's string, or the one value of its JSON object. Raises errors.Unavailable."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2})
    try:
        secret: str = boto3.client("secretsmanager", config=config).get_secret_value(SecretId=arn)["SecretString"]
    except (BotoCoreError, ClientError) as exc:
        raise Unavailable(0, 0, f"a secret could not be fetched ({type(exc).__name__})") from None
    if secret.lstrip().startswith("{"):
        values = json.loads(secret)
        return str(values.get("DISCORD_BOT_TOKEN") or next(iter(values.values())))
    return secret.strip()


def bot_token() -> str:
    """Return the bot token, "" if none is configured. Raises errors.Unavailable if the secret cannot be fetched."""
    arn = settings.DISCORD_BOT_TOKEN_ARN
    return settings.DISCORD_BOT_TOKEN or (get_secret(arn) if arn else "")
