"""Submission of a new job: lock the guild's row, read the facts, decide, write, send the message after the commit."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError
from django.db.models import F, Q

from guilds import policy, preset_options, prompt_language, prompt_lists, quota
from guilds.generation_params import MAX_SEED, RequestedParams
from guilds.models import BlockedTerm, Guild, ModelProfile
from guilds.policy import Refusal
from guilds.preset_options import PresetOptions
from guilds.prompt_models import MemberPreset
from guilds.quota_clock import Window

from . import admission_queries, fair_queue, mod_log, relaxed
from .dispatch.message import Dispatcher
from .dispatch.sending import SendHook, send_after_commit
from .guild_lock import lock_guild
from .job_status import Status
from .models import BY_API, Job, JobEvent, JobImage
from .token_encryption import encrypt
from .wait_estimate import QueuePosition, estimate_position

# Discord voids an interaction token after 15 minutes; the margin covers the upload.
TOKEN_LIFE = timedelta(minutes=14, seconds=30)
# How many lists the refusal of an unknown one names.
_LISTS_NAMED = 20
# How many of a member's requests the cool-down looks at.
_NEWEST_READ = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What a member requested, parsed from an interaction."""

    interaction_id: int
    application_id: int
    token: str
    guild_id: int
    channel_id: int
    parent_channel_id: int | None = None
    category_id: int | None = None
    channel_nsfw: bool | None = False
    channel_complete: bool = True
    user_id: int
    member_name: str = ""
    role_ids: frozenset[int] = frozenset()
    locale: str = "en-US"
    app_permissions: int | None = None
    attachment_size_limit: int = 10 * 1024 * 1024
    pressed_message_id: int | None = None
    params: RequestedParams


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The accepted job and what to tell the member. `repeated`: the interaction was accepted before.

    `over_quota`: the job is relaxed because a quota is used up.
    """

    job: Job
    place: int
    wait_s: float | None
    gpu_starting: bool
    repeated: bool = False
    budget_warning: bool = False
    over_quota: bool = False


def submit(
    request: JobRequest, *, now: datetime, dispatch: Dispatcher | None = None, send_hook: SendHook | None = None
) -> Accepted | Refusal:
    """Accept a request and write its job, or return why it is refused. A refusal is recorded and costs nothing.

    1. Lock the guild's row.
    2. Read the facts, in one query.
    3. Decide: policy, queue limits, quotas, budget.
    4. Write the job with its reservation, or the refusal. Commit.
    5. Send the message if the job may start now; `send_hook` may do that later.

    Submitting an interaction again returns the same result. Raises Guild.DoesNotExist for an unknown guild.
    """
    try:
        with lock_guild(request.guild_id) as guild:
            result = _admit(request, guild, now=now)
    except IntegrityError:
        # Two concurrent deliveries of one interaction meet the unique constraint.
        result = _repeat_result(Job.objects.get(interaction_id=request.interaction_id), now=now)
    if isinstance(result, Accepted) and result.job.status == Status.QUEUED and not result.repeated:
        send_after_commit([result.job], dispatch=dispatch, send_hook=send_hook)
    return result


def _repeat_result(job: Job, *, now: datetime) -> Accepted | Refusal:
    if job.status == Status.REFUSED:
        return Refusal(code=job.reason)
    return _accepted(job, fair_queue.load_position(job, now=now), repeated=True)


def _accepted(
    job: Job,
    position: QueuePosition,
    *,
    repeated: bool = False,
    budget_warning: bool = False,
    over_quota: bool = False,
) -> Accepted:
    return Accepted(
        job=job,
        place=position.place,
        wait_s=position.wait_s,
        gpu_starting=position.gpu_starting,
        repeated=repeated,
        budget_warning=budget_warning,
        over_quota=over_quota,
    )


def _admit(request: JobRequest, guild: Guild, *, now: datetime) -> Accepted | Refusal:
    """Read, decide and write, under the guild's lock.

    1. Read the facts, with the counters of the open quota windows.
    2. Return the earlier result if the interaction has a job already.
    3. Plan the generation: fill in defaults, check every parameter and rule.
    4. Check the speed, queue limits, quotas and budget for the plan.
    5. Write the refusal, or the job: queued if it is prompt, the guild has a free slot and no job waits, else waiting.
    """
    windows = _open_windows(guild, now=now)
    params = request.params
    # Who cannot open their defaults could not change them.
    presets = [] if "defaults" in guild.switched_off else _load_presets(request)
    facts = admission_queries.read(
        guild,
        interaction_id=request.interaction_id,
        user_id=request.user_id,
        style=params.style or next((preset.style for preset in presets if preset.style), None),
        names_lora=bool(params.loras or any(preset.loras for preset in presets)) or "<lora:" in params.prompt.lower(),
        windows=windows,
        now=now,
    )
    if facts.existing is not None:
        return _repeat_result(Job.objects.get(pk=facts.existing), now=now)
    seed = secrets.randbelow(MAX_SEED - 16)
    lists = prompt_lists.load(guild.pk, f"{params.prompt} {params.negative_prompt or ''}")
    rules = replace(facts.rules, presets=presets, prompt_lists=lists)
    plan = policy.plan_generation(rules, _requested_options(request), seed=seed)
    if isinstance(plan, Refusal):
        return _refuse(request, guild, facts, _with_lists(plan, guild), now=now)
    quota_rules = quota.applicable(facts.quota, request.role_ids, places=_places(request))
    exceeded = _check_quota(facts, quota_rules, request, plan, windows)
    over_quota = exceeded is not None and guild.relaxed_over_quota
    is_relaxed = over_quota or (request.params.speed or guild.default_speed) == Guild.Speed.RELAXED
    refusal = (
        _check_queue(guild, facts, is_relaxed=is_relaxed)
        or _check_cooldown(guild, request, plan, now=now)
        or _check_source(guild, request)
        or (None if over_quota else exceeded)
        or _check_budget(guild, facts, plan, now=now)
    )
    if refusal is not None:
        return _refuse(request, guild, facts, refusal, now=now)
    due_at = relaxed.due_at(guild, now=now) if is_relaxed else None
    queued = due_at is None and facts.waiting == 0 and facts.active < guild.concurrency
    job = _new_job(request, guild, plan, queued=queued, due_at=due_at, now=now)
    admission_queries.write(job, windows, [rule for rule in quota_rules if rule.channel_id is not None])
    position = estimate_position(facts.ahead, waits=not queued)
    warning = _budget_warning(guild, facts, plan)
    return _accepted(job, position, budget_warning=warning, over_quota=over_quota)


def _open_windows(guild: Guild, *, now: datetime) -> dict[str, Window]:
    """Return the guild's open quota windows. Save its quota clock after its first use or a change of time zone."""
    clock = quota.load_clock(guild, now)
    if guild.quota_clock.get("time_zone") != clock.time_zone:
        Guild.objects.filter(pk=guild.pk).update(quota_clock=clock.dump())
    return clock.windows(now)


def _with_lists(refusal: Refusal, guild: Guild) -> Refusal:
    """Return the refusal; that of an unknown list names those that there are."""
    if refusal.code != "prompt_list_unknown":
        return refusal
    lists = ", ".join(prompt_lists.names(guild.pk, limit=_LISTS_NAMED)) or "-"
    return replace(refusal, params={**refusal.params, "lists": lists})


def _load_presets(request: JobRequest) -> list[PresetOptions]:
    """Return the preset that the request names, then the member's defaults if they apply."""
    names = [preset_options.normalize_name(request.params.preset)] if request.params.preset else []
    names += [""] if request.params.uses_defaults else []
    if not names:
        return []
    rows = MemberPreset.objects.filter(guild_id=request.guild_id, user_id=request.user_id, name__in=names)
    return preset_options.ordered([row.options() for row in rows])


def _requested_options(request: JobRequest) -> policy.RequestedOptions:
    return policy.RequestedOptions(
        channel_id=request.channel_id,
        parent_channel_id=request.parent_channel_id,
        category_id=request.category_id,
        channel_nsfw=request.channel_nsfw,
        channel_complete=request.channel_complete,
        role_ids=request.role_ids,
        app_permissions=request.app_permissions,
        params=request.params,
        by_api=request.application_id == BY_API,
    )


def _new_job(
    request: JobRequest, guild: Guild, plan: policy.Plan, *, queued: bool, due_at: datetime | None, now: datetime
) -> Job:
    return Job(
        **_origin_fields(request, guild, now=now),
        **_params_fields(request.params, plan),
        encrypted_token=encrypt(request.token),
        ephemeral=plan.ephemeral,
        spoiler=plan.spoiler,
        status=Status.QUEUED if queued else Status.WAITING,
        due_at=due_at,
        queued_at=now if queued else None,
        message_sent_at=now if queued else None,
        messages_sent=1 if queued else 0,
        reserved_images=plan.params.count,
        reserved_gpu_ms=plan.gpu_ms,
    )


def _params_fields(requested: RequestedParams, plan: policy.Plan) -> dict[str, Any]:
    """Return the columns that Job.params and params_to_repeat read."""
    params = asdict(plan.params)
    return params | {
        "prompt": plan.prompt,
        "styled_prompt": params["prompt"],
        "style": plan.style,
        "model_id": plan.model_id,
        "kind": requested.kind,
        # Empty where the member chose none, so that a repeat gets the default of its own kind.
        "strength": requested.strength,
        "source_job_id": requested.source_job_id,
        "source_index": requested.source_index,
        "source_url": requested.source_url,
        "painted_area": requested.painted_area,
    }


def params_to_repeat(job: Job) -> RequestedParams:
    """Return the parameters that make the job's images again. A refused job has only what the member typed."""
    refused = job.status == Status.REFUSED
    return RequestedParams(
        kind=job.kind,
        prompt=job.prompt,
        negative_prompt=negative_to_repeat(job),
        seed=None if refused else job.seed,
        steps=job.steps or None,
        sampler=job.sampler or None,
        width=job.width or None,
        height=job.height or None,
        guidance=None if refused else job.guidance,
        count=job.count or None,
        style=job.style or None,
        model=job.model.slug,
        strength=job.strength,
        source_job_id=job.source_job_id,
        source_index=job.source_index,
        source_url=job.source_url,
        painted_area=job.painted_area,
        # A repeat shows to nobody what the first showed to its member only.
        is_private=job.ephemeral or None,
        loras=job.loras,
        lowerable=frozenset({"steps", "count"}),
    )


def negative_to_repeat(job: Job) -> str | None:
    """Return the job's negative prompt as a member types it. Its choices are made, so a repeat keeps them."""
    if job.status == Status.REFUSED:
        return job.negative_prompt or None
    return prompt_language.escape(job.negative_prompt)


def params_to_vary(job: Job, index: int, *, strength: float) -> RequestedParams:
    """Return the parameters that make new versions of one of the job's images, each with a seed of its own."""
    return replace(
        params_to_repeat(job),
        kind=Job.Kind.VARIATION,
        source_job_id=job.pk,
        source_index=index,
        source_url="",
        painted_area="",
        strength=strength,
        seed=None,
    )


def _check_queue(guild: Guild, facts: admission_queries.AdmissionData, *, is_relaxed: bool) -> Refusal | None:
    """Return the refusal if the request must wait and may not. Relaxed and prompt requests have the limits each."""
    if not is_relaxed and facts.active < guild.concurrency and not facts.waiting:
        return None
    waiting, mine = (
        (facts.relaxed_waiting, facts.mine_relaxed_waiting) if is_relaxed else (facts.waiting, facts.mine_waiting)
    )
    if mine >= guild.max_waiting_per_member:
        return Refusal(code="too_many_waiting", params={"limit": guild.max_waiting_per_member})
    if waiting >= guild.max_waiting:
        return Refusal(code="queue_full", params={"limit": guild.max_waiting})
    return None


def _check_source(guild: Guild, request: JobRequest) -> Refusal | None:
    if (
        request.params.source_job_id is not None
        and not JobImage.objects.filter(
            job_id=request.params.source_job_id,
            job__guild_id=guild.pk,
            index=request.params.source_index or 0,
            hidden_at=None,
        ).exists()
    ):
        return Refusal(code="image_gone")
    return None


def _places(request: JobRequest) -> frozenset[int | None]:
    return frozenset({request.channel_id, request.parent_channel_id, request.category_id})


def _check_cooldown(guild: Guild, request: JobRequest, plan: policy.Plan, *, now: datetime) -> Refusal | None:
    if not guild.cooldown_s:
        return None
    # Refused requests do not count. So few rows are read that a flood of them costs nothing.
    newest = Job.objects.filter(guild_id=guild.pk, user_id=request.user_id).order_by("-pk")
    rows = newest.values_list("status", "created_at")[:_NEWEST_READ]
    last_at = next((created_at for status, created_at in rows if status != Status.REFUSED), None)
    return quota.decide_cooldown(guild.cooldown_s, last_at=last_at, images=plan.params.count, now=now)


def _check_quota(
    facts: admission_queries.AdmissionData,
    rules: Sequence[quota.Rule],
    request: JobRequest,
    plan: policy.Plan,
    windows: Mapping[str, Window],
) -> Refusal | None:
    named = {rule.channel_id for rule in facts.quota} - {None}
    if not request.channel_complete and named - _places(request):
        return Refusal(code="channel_unknown")
    used = facts.used
    of_channels = [quota.counter_subject(rule, request.user_id) for rule in rules if rule.channel_id is not None]
    if of_channels:
        own = dict(zip(of_channels, of_channels, strict=True))
        used = {**used, **quota.load_counters(request.guild_id, own, windows)}
    statuses = quota.evaluate(rules, used, user_id=request.user_id, windows=windows)
    return quota.decide(statuses, images=plan.params.count, gpu_ms=plan.gpu_ms)


def _check_budget(
    guild: Guild, facts: admission_queries.AdmissionData, plan: policy.Plan, *, now: datetime
) -> Refusal | None:
    return quota.decide_budget(guild.monthly_budget_gpu_seconds, spent_ms=facts.spent_ms, gpu_ms=plan.gpu_ms, now=now)


def _budget_warning(guild: Guild, facts: admission_queries.AdmissionData, plan: policy.Plan) -> bool:
    budget = guild.monthly_budget_gpu_seconds
    return bool(budget) and facts.spent_ms + plan.gpu_ms >= budget * 10 * guild.budget_warning_percent


def _origin_fields(request: JobRequest, guild: Guild, *, now: datetime) -> dict[str, Any]:
    return {
        "interaction_id": request.interaction_id,
        "application_id": request.application_id,
        "guild_id": request.guild_id,
        "channel_id": request.channel_id,
        "parent_channel_id": request.parent_channel_id,
        "category_id": request.category_id,
        "channel_nsfw": request.channel_nsfw,
        "user_id": request.user_id,
        "member_name": request.member_name[:100],
        "locale": (guild.language or request.locale)[:8],
        "reply_deadline": now + TOKEN_LIFE,
        "attachment_size_limit": request.attachment_size_limit,
        "pressed_message_id": request.pressed_message_id,
        "created_at": now,
    }


def _refuse(
    request: JobRequest, guild: Guild, facts: admission_queries.AdmissionData, refusal: Refusal, *, now: datetime
) -> Refusal:
    _record_refusal(request, guild, facts, refusal, now=now)
    return refusal


def _record_refusal(
    request: JobRequest, guild: Guild, facts: admission_queries.AdmissionData, refusal: Refusal, *, now: datetime
) -> None:
    if refusal.code == "term_blocked":
        BlockedTerm.objects.filter(
            Q(guild_id=request.guild_id) | Q(guild=None), folded=refusal.params["folded"]
        ).update(hits=F("hits") + 1)
    model = policy.pick_model(facts.rules.models, None)
    model_id = model.id if model else ModelProfile.objects.values_list("pk", flat=True).first()
    if model_id is None:
        return
    job = Job.objects.create(
        **_origin_fields(request, guild, now=now),
        prompt=request.params.prompt[: policy.MAX_PROMPT],
        negative_prompt=(request.params.negative_prompt or "")[: policy.MAX_PROMPT],
        seed=0,
        steps=0,
        sampler="",
        width=0,
        height=0,
        guidance=0,
        count=0,
        model_id=model_id,
        status=Status.REFUSED,
        reason=refusal.code,
        ended_at=now,
        notified_at=now,
        settled_at=now,
    )
    JobEvent.objects.create(job=job, at=now, kind=Status.REFUSED, detail=_event_detail(refusal.params))
    mod_log.record_limit_reached(guild, refusal, user_id=request.user_id, now=now)


def _event_detail(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value if isinstance(value, int | float | str | None) else str(value) for key, value in params.items()}
