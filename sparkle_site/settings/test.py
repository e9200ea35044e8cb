"""The tests: like local, with an in-memory dispatcher."""

import os

os.environ.setdefault("JOB_DISPATCHER", "jobs.dispatch.memory.MemoryDispatcher")

from .local import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Without it each test client reads all static files when it is made, which takes a fifth of a test's time.
WHITENOISE_AUTOREFRESH = True
