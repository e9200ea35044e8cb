"""Image storage in S3 with time-outs, so that a slow bucket does not block a thread."""

from __future__ import annotations

from typing import Any

from botocore.config import Config
from storages.backends.s3 import S3Storage


class ImageStorage(S3Storage):
    """django-storages' S3 with connect and read time-outs of seconds, and few retries."""

    def get_default_settings(self) -> dict[str, Any]:
        defaults: dict[str, Any] = super().get_default_settings()
        defaults["client_config"] = Config(
            signature_version="s3v4",
            # Links must name the bucket's region: S3's global host redirects requests for a new bucket to the region,
            # which refuses a signature for another host.
            s3={"addressing_style": "virtual"},
            connect_timeout=2,
            read_timeout=10,
            retries={"mode": "standard", "total_max_attempts": 3},
        )
        return defaults
