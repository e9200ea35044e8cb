"""The platform under chaos: production's headless settings, with the simulator for Discord and files for S3."""

import os
from pathlib import Path

from sparkle_site.settings.headless import *  # noqa: F403
from sparkle_site.settings.headless import STORAGES

STORAGES = STORAGES | {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(Path(os.environ["SPARKLE_LOCAL_DIR"]) / "media"), "base_url": "/media/"},
    }
}
DISCORD_CDN_HOSTS = ["127.0.0.1"]
DISCORD_CDN_INSECURE = True
