"""Lambda and worker: guilds and jobs only, one connection, time-outs that fit into Discord's three seconds."""

from .base import *  # noqa: F403
from .base import database, env, required, secret

SECRET_KEY = secret("DJANGO_SECRET_KEY")
DATABASES = {
    "default": database(
        required("DATABASE_URL"), statement_timeout_ms=env.int("DATABASE_STATEMENT_TIMEOUT_MS", default=1500)
    )
}
# All that is asked here has its index, and a plan is kept while the table grows: one that was made when a few hundred
# requests were there would walk through thousands. A plain scan of an index also marks the entries whose rows are gone,
# where a bitmap scan walks them again each time: a job leaves ten behind, and on a large table the next vacuum is hours
# away (docs/explanation/performance.md).
DATABASES["default"]["OPTIONS"]["options"] += " -c enable_seqscan=off -c enable_bitmapscan=off"
