"""The SQL of jobs/sql: one query a file, described in its first lines."""

from __future__ import annotations

import functools
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "sql"


@functools.cache
def load(name: str) -> str:
    """Return the query `jobs/sql/NAME.sql` without comments and line breaks.

    psycopg caches parsed statements of at most 4,096 characters. A string in a query may not contain "--" or several
    spaces in a row.
    """
    return " ".join(re.sub(r"--.*", "", (FOLDER / f"{name}.sql").read_text()).split())
