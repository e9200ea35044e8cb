"""Copy one guild's settings to another: what does not name the guild's own channels, roles or members."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from . import blocked_term_lists
from .blocked_term_lists import Line
from .models import BlockedTerm, Guild, QuotaRule

# Not among them: what operators decide (concurrency, budget), and whether the server is on.
FIELDS = (
    "max_waiting",
    "max_waiting_per_member",
    "default_steps",
    "max_steps",
    "allowed_sizes",
    "max_images",
    "default_negative_prompt",
    "nsfw_rule",
    "output_check",
    "result_layout",
    "results_ephemeral",
    "previews",
    "language",
    "time_zone",
    "budget_warning_percent",
    "retention_days",
    "cooldown_s",
    "switched_off",
    "find_spaced_letters",
    "default_speed",
    "relaxed_patience_hours",
    "relaxed_over_quota",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """How many quota rules the guild has now from the other one, and how many blocked terms were added."""

    rules: int
    terms: int


def copy(source: Guild, target: Guild) -> Copied:
    """Give `target` the settings, offered models, quota rules and blocked terms of `source`.

    Rules of roles and channels stay as they are. Rules that `source` has not are deleted; terms are only added.
    """
    with transaction.atomic():
        for name in FIELDS:
            setattr(target, name, getattr(source, name))
        target.save()  # Here and below not by update(): the audit listens to the signals.
        target.models_offered.set(source.models_offered.all())
        for old in target.quota_rules.filter(channel_id=None).exclude(subject=QuotaRule.Subject.ROLE):
            old.delete()
        rules = list(source.quota_rules.filter(channel_id=None).exclude(subject=QuotaRule.Subject.ROLE))
        for rule in rules:
            QuotaRule.objects.create(
                guild=target, subject=rule.subject, metric=rule.metric, window=rule.window, limit=rule.limit
            )
        terms = BlockedTerm.objects.filter(guild=source)
        lines = [
            Line(number=n, phrase=term.phrase, nsfw=term.nsfw, allowed=term.allowed) for n, term in enumerate(terms)
        ]
        added = blocked_term_lists.add(target.pk, lines).added
    return Copied(rules=len(rules), terms=added)
