"""Image storage: keys, and store and fetch on Django's default storage (S3 in production, files locally)."""

import hashlib
import hmac

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage


class StorageUnavailable(Exception):
    """The storage failed to store or return the object. `permanent`: the object does not exist."""

    def __init__(self, doing: str, *, permanent: bool = False) -> None:
        super().__init__(doing)
        self.permanent = permanent


def token(job_id: int) -> str:
    """Return the secret part of a job's keys, the same for every attempt, so that a retry overwrites the files."""
    return hmac.new(settings.SECRET_KEY.encode(), b"image keys %d" % job_id, hashlib.sha256).hexdigest()[:24]


def image_key(guild_id: int, job_id: int, index: int) -> str:
    """Return the key of one image of a job."""
    return f"jobs/{guild_id}/{job_id}/{token(job_id)}-{index}.png"


def grid_key(guild_id: int, job_id: int, suffix: str = "png") -> str:
    """Return the key of a job's grid."""
    return f"jobs/{guild_id}/{job_id}/{token(job_id)}-grid.{suffix}"


def store(key: str, content: bytes) -> None:
    """Store `content` under `key`, replacing an earlier object. Raises StorageUnavailable."""
    try:
        saved = default_storage.save(key, ContentFile(content))
        if saved != key:
            # File storage does not overwrite the file of an earlier attempt.
            default_storage.delete(saved)
            default_storage.delete(key)
            default_storage.save(key, ContentFile(content))
    except Exception as exc:  # each backend has errors of its own (OSError, botocore's)
        raise StorageUnavailable(f"store: {type(exc).__name__}") from exc


def fetch(key: str) -> bytes:
    """Return the object under `key`. Raises StorageUnavailable, permanent if there is none."""
    try:
        with default_storage.open(key) as file:
            return bytes(file.read())
    except FileNotFoundError as exc:
        raise StorageUnavailable("fetch: no such object", permanent=True) from exc
    except Exception as exc:
        raise StorageUnavailable(f"fetch: {type(exc).__name__}") from exc
