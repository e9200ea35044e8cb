"""Links from Discord to the page where a member marks a part of one image (sparkle_site.pages.edit_area).

The site does not know who can read a channel. A member who can press the button below an image can see it, and the link
tells the site so: for this member and this image, for an hour.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner

from .models import Job

MAX_AGE = timedelta(hours=1)


def path(job: Job, index: int) -> str:
    """Return the page's path on the site."""
    return f"/gallery/{job.guild_id}/{job.pk}/{index + 1}/edit/"


def url(job: Job, index: int, *, user_id: int) -> str:
    """Return the page's address for one member."""
    return f"{settings.SITE_URL}{path(job, index)}?link={_signer().sign(_subject(job.pk, index, user_id))}"


def is_valid(link: str, *, job_id: int, index: int, user_id: int) -> bool:
    """Return whether `link` is signed for this member and image, and not too old."""
    try:
        return bool(_signer().unsign(link, max_age=MAX_AGE) == _subject(job_id, index, user_id))
    except BadSignature:
        return False


def _subject(job_id: int, index: int, user_id: int) -> str:
    return f"{user_id}-{job_id}-{index}"


def _signer() -> TimestampSigner:
    return TimestampSigner(salt="sparkle edit area")
