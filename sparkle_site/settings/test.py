"""The tests: local's edges, with the dispatcher that keeps its doorbells in memory."""

import os
import tempfile

os.environ.setdefault("JOB_DISPATCHER", "jobs.dispatch.memory.MemoryDispatcher")

from .local import *  # noqa: F403
from .local import STORAGES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = STORAGES | {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": tempfile.mkdtemp(prefix="sparkle-media-"), "base_url": "/media/"},
    }
}
