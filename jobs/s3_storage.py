"""Pictures in S3, with time-outs: a bucket that does not answer must not hold a thread."""

from __future__ import annotations

from typing import Any

from botocore.config import Config
from storages.backends.s3 import S3Storage


class PictureStorage(S3Storage):
    """django-storages' S3 with connect and read time-outs of seconds, and few retries."""

    def get_default_settings(self) -> dict[str, Any]:
        defaults: dict[str, Any] = super().get_default_settings()
        defaults["client_config"] = Config(
            signature_version="s3v4",
            # Links then name the bucket's region. Without it they lead to S3's global host, which redirects a new
            # bucket's readers to the region, where a signature for the other host is refused.
            s3={"addressing_style": "virtual"},
            connect_timeout=2,
            read_timeout=10,
            retries={"mode": "standard", "total_max_attempts": 3},
        )
        return defaults
