"""Where pictures are kept: Django's default storage (S3 in production, files locally), behind three verbs."""

import hashlib
import hmac

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage


class StorageUnavailable(Exception):
    """The storage did not take or give the object. `permanent`: trying again cannot help (it is not there)."""

    def __init__(self, doing: str, *, permanent: bool = False) -> None:
        super().__init__(doing)
        self.permanent = permanent


def token(job_id: int) -> str:
    """Return the part of a job's keys that nobody can guess; the same at every attempt, so a retry leaves no litter."""
    return hmac.new(settings.SECRET_KEY.encode(), b"picture keys %d" % job_id, hashlib.sha256).hexdigest()[:24]


def picture_key(guild_id: int, job_id: int, index: int) -> str:
    """Return the key of one picture of a job."""
    return f"jobs/{guild_id}/{job_id}/{token(job_id)}-{index}.png"


def grid_key(guild_id: int, job_id: int, suffix: str = "png") -> str:
    """Return the key of a job's grid, as it was posted."""
    return f"jobs/{guild_id}/{job_id}/{token(job_id)}-grid.{suffix}"


def store(key: str, content: bytes) -> None:
    """Keep `content` under `key`, in place of what was there. Raise StorageUnavailable."""
    try:
        saved = default_storage.save(key, ContentFile(content))
        if saved != key:
            # A file storage never overwrites: an earlier attempt left its picture there.
            default_storage.delete(saved)
            default_storage.delete(key)
            default_storage.save(key, ContentFile(content))
    except Exception as exc:  # each backend has errors of its own (OSError, botocore's)
        raise StorageUnavailable(f"store: {type(exc).__name__}") from exc


def fetch(key: str) -> bytes:
    """Return what is kept under `key`. Raise StorageUnavailable, permanent when there is nothing."""
    try:
        with default_storage.open(key) as file:
            return bytes(file.read())
    except FileNotFoundError as exc:
        raise StorageUnavailable("fetch: no such object", permanent=True) from exc
    except Exception as exc:
        raise StorageUnavailable(f"fetch: {type(exc).__name__}") from exc
