"""Lambda and worker: guilds and jobs only, one connection, timeouts within Discord's three seconds."""

from .base import *  # noqa: F403
from .base import database, env, required, secret

SECRET_KEY = secret("DJANGO_SECRET_KEY")
DATABASES = {
    "default": database(
        required("DATABASE_URL"), statement_timeout_ms=env.int("DATABASE_STATEMENT_TIMEOUT_MS", default=1500)
    )
}
# All queries here have an index, but a cached plan outlives the small table that it was made for and would scan a large
# one. A plain index scan also marks dead entries, which a bitmap scan visits again each time: a job leaves ten, and the
# next vacuum of a large table is hours away (docs/explanation/performance.md).
DATABASES["default"]["OPTIONS"]["options"] += " -c enable_seqscan=off -c enable_bitmapscan=off"
