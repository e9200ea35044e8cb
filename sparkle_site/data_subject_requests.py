"""Export and erasure of a member or a guild, including what only the site stores: accounts, sessions, the history of
settings and cached thumbnails. jobs.privacy handles the rest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db.models import Model

from guilds.models import Ban, Guild, Usage
from jobs import privacy
from jobs.models import Job, JobImage
from sparkle_site import thumbnails
from sparkle_site.audit.models import AUDITED

BATCH = 500


def export_member(user_id: int) -> Iterator[dict[str, Any]]:
    """Yield all data about a member as JSON-serializable records."""
    yield from privacy.export_member(user_id)
    for account in SocialAccount.objects.filter(provider="discord", uid=str(user_id)).select_related("user"):
        user = account.user
        yield {
            "type": "account",
            "name": user.first_name,
            "username": user.username,
            "joined_at": user.date_joined.isoformat(),
            "last_sign_in": user.last_login.isoformat() if user.last_login else None,
            "from_discord": account.extra_data,
        }
        for model in AUDITED:
            for record in _history(model).filter(history_user=user).order_by("history_date"):
                yield {
                    "type": "change of a setting",
                    "at": record.history_date.isoformat(),
                    "from": record.history_address,
                    "what": f"{record.history_type} {model._meta.verbose_name} {record.id}",
                }
        for act in LogEntry.objects.filter(user=user).order_by("action_time"):
            yield {"type": "act", "at": act.action_time.isoformat(), "what": act.get_change_message()}


def erase_member(user_id: int, *, now: datetime) -> int:
    """Erase a member's data, including account and sessions. Return how many requests were erased.

    An active ban stays with its history (jobs.privacy.erase_member). The account of an operator or observer stays, only
    its link to Discord is deleted. The member's changes to settings stay without the author.
    """
    usages = [str(pk) for pk in Usage.objects.filter(subject_id=user_id).values_list("pk", flat=True)]
    thumbnails.forget(JobImage.objects.filter(job__user_id=user_id).values_list("pk", flat=True).iterator(BATCH))
    erased = privacy.erase_member(user_id, now=now)
    _delete_log_entries(Usage, usages)
    if not Ban.objects.filter(user_id=user_id).exists():
        _history(Ban).filter(user_id=user_id).delete()
    _history(Ban).filter(created_by__in=(str(user_id), f"discord-{user_id}")).update(created_by="")
    _history(Guild).filter(owner_id=user_id).update(owner_id=None)
    for account in SocialAccount.objects.filter(provider="discord", uid=str(user_id)).select_related("user"):
        _erase_account(account.user)
    return erased


def erase_guild(guild_id: int, *, now: datetime) -> int:
    """Erase a guild's data, including the history of its settings. Return how many requests were erased.

    While a request is running the guild stays, disabled. Call again later.
    """
    usages = [str(pk) for pk in Usage.objects.filter(guild_id=guild_id).values_list("pk", flat=True)]
    thumbnails.forget(JobImage.objects.filter(job__guild_id=guild_id).values_list("pk", flat=True).iterator(BATCH))
    erased = privacy.erase_guild(guild_id, now=now)
    if Job.objects.filter(guild_id=guild_id).exists():
        return erased
    _delete_log_entries(Usage, usages)
    offered = apps.get_model("sparkle_audit", "HistoricalGuild_models_offered")
    offered.objects.filter(guild_id=guild_id).delete()
    for model in AUDITED:
        if model is Guild:
            _history(model).filter(id=guild_id).delete()
        elif any(field.name == "guild" for field in model._meta.fields):
            _history(model).filter(guild_id=guild_id).delete()
    return erased


def _history(model: type[Model]) -> Any:
    return model.history  # type: ignore[attr-defined]


def _delete_log_entries(model: type[Model], ids: list[str]) -> None:
    LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(model), object_id__in=ids).delete()


def _erase_account(user: User) -> None:
    for model in AUDITED:
        _history(model).filter(history_user=user).update(history_address=None)
    for session in Session.objects.iterator(BATCH):
        if session.get_decoded().get("_auth_user_id") == str(user.pk):
            session.delete()
    if user.is_staff or user.is_superuser:
        SocialAccount.objects.filter(user=user, provider="discord").delete()
    else:
        user.delete()
