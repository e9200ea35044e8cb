"""Lambda and worker: guilds and jobs only, one connection, time-outs that fit into Discord's three seconds."""

from .base import *  # noqa: F403
from .base import database, env, required, secret

SECRET_KEY = secret("DJANGO_SECRET_KEY")
DATABASES = {
    "default": database(
        required("DATABASE_URL"), statement_timeout_ms=env.int("DATABASE_STATEMENT_TIMEOUT_MS", default=1500)
    )
}
