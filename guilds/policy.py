"""May this be asked here, and with which parameters? Pure: facts in, a plan or a refusal out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import blocked_terms
from .cost_estimates import gpu_ms_of, work_of
from .samplers import SAMPLERS

# https://discord.com/developers/docs/topics/permissions
ATTACH_FILES = 1 << 15
EMBED_LINKS = 1 << 14
SEND_MESSAGES = 1 << 11
VIEW_CHANNEL = 1 << 10
SEND_MESSAGES_IN_THREADS = 1 << 38
ADMINISTRATOR = 1 << 3
MAX_SEED = 2**32 - 1
# The seed that stands for another one each time, as everywhere in Stable Diffusion's tools.
RANDOM_SEED = -1
MAX_PROMPT = 6000


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why not. `code` is stable; `params` fill the sentence that tells the member what to do next."""

    code: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    id: int
    slug: str
    name: str
    default_steps: int
    max_steps: int
    default_guidance: float
    default_sampler: str
    sizes: Sequence[str]
    gpu_ms_per_step: float
    is_default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleOptions:
    slug: str
    template: str
    negative_prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GuildPolicy:
    """What a guild, the platform and bans say, read in one go. Pictures, steps and sizes as the settings name them.

    Terms are keyed as `terms.fold` writes them; the values are the moderators' own words.
    """

    maintenance: bool = False
    notice: str = ""
    enabled: bool = True
    allowed_channel_ids: frozenset[int] = frozenset()
    allowed_role_ids: frozenset[int] = frozenset()
    max_waiting: int = 200
    max_waiting_per_member: int = 10
    default_steps: int | None = None
    max_steps: int = 50
    allowed_sizes: Sequence[str] = ()
    max_pictures: int = 4
    default_negative_prompt: str = ""
    nsfw_rule: str = "never"
    results_ephemeral: bool = False
    ban_reason: str | None = None
    blocked_terms: Mapping[str, str] = field(default_factory=dict)
    nsfw_terms: Mapping[str, str] = field(default_factory=dict)
    models: Sequence[ModelOptions] = ()
    styles: Sequence[StyleOptions] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedOptions:
    """The member's words and options, None where nothing was said.

    `channel_nsfw` is None where nobody knows, and `channel_complete` False where the channel may stand below others
    than those named.
    """

    channel_id: int
    parent_channel_id: int | None = None
    category_id: int | None = None
    channel_nsfw: bool | None
    channel_complete: bool = True
    role_ids: frozenset[int]
    app_permissions: int | None
    prompt: str
    negative_prompt: str | None = None
    seed: int | None = None
    steps: int | None = None
    sampler: str | None = None
    width: int | None = None
    height: int | None = None
    guidance: float | None = None
    count: int | None = None
    style: str | None = None
    model: str | None = None
    strength: float | None = None
    kind: str = "txt2img"
    # "steps" and "count" where they come from an earlier request: lowered to what is allowed now, not refused.
    lowerable: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be made, every default filled in. `gpu_ms` is the estimate that is reserved."""

    prompt: str
    styled_prompt: str
    negative_prompt: str
    style: str
    seed: int
    steps: int
    sampler: str
    width: int
    height: int
    guidance: float
    count: int
    strength: float | None
    model_id: int
    spoiler: bool
    ephemeral: bool
    gpu_ms: int


def check_access(rules: GuildPolicy, wish: RequestedOptions) -> Refusal | None:
    """Whether this member may ask at all in this channel; None is yes."""
    if rules.maintenance:
        return Refusal(code="maintenance", params={"notice": rules.notice})
    if not rules.enabled:
        return Refusal(code="guild_disabled")
    if rules.ban_reason is not None:
        return Refusal(code="banned", params={"reason": rules.ban_reason})
    # A thread belongs to its channel, and a channel to its category.
    places = {wish.channel_id, wish.parent_channel_id, wish.category_id}
    if rules.allowed_channel_ids and not rules.allowed_channel_ids & places:
        if not wish.channel_complete:
            return Refusal(code="channel_unknown")
        return Refusal(code="channel_not_allowed", params={"channels": sorted(rules.allowed_channel_ids)[:5]})
    if rules.allowed_role_ids and not rules.allowed_role_ids & wish.role_ids:
        return Refusal(code="role_required", params={"roles": sorted(rules.allowed_role_ids)[:5]})
    if not rules.results_ephemeral and not _may_post(wish.app_permissions):
        return Refusal(code="cannot_post_here")
    return None


def _may_post(permissions: int | None) -> bool:
    # A missing field is an old recording or a test tool: Discord always sends it in guilds. The reply itself comes by
    # the interaction's token and needs no VIEW_CHANNEL; a post after the token's end has other ways to go.
    return permissions is None or bool(permissions & (ATTACH_FILES | ADMINISTRATOR))


def plan_generation(
    rules: GuildPolicy, wish: RequestedOptions, *, seed: int, samplers: frozenset[str]
) -> Plan | Refusal:
    """Fill in defaults and check every parameter against its range; `seed` is used where the member named none."""
    refusal = check_access(rules, wish)
    if refusal:
        return refusal
    prompt = wish.prompt.strip()
    if blocked_terms.is_blank(prompt):
        return Refusal(code="prompt_empty")
    if len(prompt) > MAX_PROMPT:
        return _range("prompt", f"1-{MAX_PROMPT}")
    model = pick_model(rules.models, wish.model)
    if model is None:
        return _range("model", ", ".join(each.slug for each in rules.models) or "-")
    style = next((each for each in rules.styles if each.slug == wish.style), None) if wish.style else None
    if wish.style and style is None:
        return _range("style", ", ".join(dict.fromkeys(each.slug for each in rules.styles)) or "-")
    sampler = wish.sampler or model.default_sampler
    if sampler not in samplers:
        return _range("sampler", ", ".join(sorted(samplers)))
    steps_limit = min(rules.max_steps, model.max_steps, SAMPLERS[sampler].max_steps)
    steps = wish.steps if wish.steps is not None else min(rules.default_steps or model.default_steps, steps_limit)
    if "steps" in wish.lowerable:
        steps = min(steps, steps_limit)
    if not 1 <= steps <= steps_limit:
        return _range("steps", f"1-{steps_limit}")
    sizes = [size for size in model.sizes if not rules.allowed_sizes or size in rules.allowed_sizes] or model.sizes[:1]
    width, height = wish.width, wish.height
    if width is None or height is None:
        width, height = (int(side) for side in sizes[0].split("x"))
    elif wish.kind != "upscale" and not _size_allowed(width, height, sizes, enlarged=wish.kind == "variation"):
        return _range("size", ", ".join(sizes))
    count = wish.count if wish.count is not None else rules.max_pictures
    if "count" in wish.lowerable:
        count = min(count, rules.max_pictures)
    if not 1 <= count <= rules.max_pictures:
        return _range("count", f"1-{rules.max_pictures}")
    guidance = wish.guidance if wish.guidance is not None else model.default_guidance
    if not 0 <= guidance <= 30:
        return _range("guidance", "0-30")
    wished_seed = None if wish.seed == RANDOM_SEED else wish.seed
    if wished_seed is not None and not 0 <= wished_seed <= MAX_SEED:
        return _range("seed", f"0-{MAX_SEED}")
    if wish.strength is not None and not 0 < wish.strength <= 1:
        return _range("strength", "0.05-1")
    negative = wish.negative_prompt if wish.negative_prompt is not None else rules.default_negative_prompt
    # A repeated request brings the style's words along already.
    if style and style.negative_prompt and negative.endswith(style.negative_prompt):
        negative = negative.removesuffix(style.negative_prompt).removesuffix(", ")
    if len(negative) > MAX_PROMPT:
        return _range("negative_prompt", f"0-{MAX_PROMPT}")
    # A negative prompt steers away from a term, so only the prompt is held to the list.
    term = blocked_terms.find(prompt, rules.blocked_terms)
    if term is not None:
        return Refusal(code="term_blocked", params={"term": rules.blocked_terms[term], "folded": term})
    adult = blocked_terms.find(prompt, rules.nsfw_terms) is not None
    if adult and rules.nsfw_rule == "age_restricted" and wish.channel_nsfw is None:
        return Refusal(code="channel_unknown")
    if adult and not _nsfw_allowed(rules.nsfw_rule, channel_nsfw=bool(wish.channel_nsfw)):
        return Refusal(code="nsfw_not_allowed", params={"rule": rules.nsfw_rule})
    if style and style.negative_prompt:
        negative = f"{negative}, {style.negative_prompt}" if negative else style.negative_prompt
    work = work_of(
        kind=wish.kind, sampler=sampler, steps=steps, strength=wish.strength, guidance=guidance, width=width,
        height=height, count=count,
    )  # fmt: skip
    return Plan(
        prompt=prompt,
        styled_prompt=style.template.replace("{prompt}", prompt, 1) if style else prompt,
        negative_prompt=negative,
        style=style.slug if style else "",
        seed=wished_seed if wished_seed is not None else seed,
        steps=steps,
        sampler=sampler,
        width=width,
        height=height,
        guidance=float(guidance),
        count=count,
        strength=wish.strength,
        model_id=model.id,
        spoiler=adult and not wish.channel_nsfw,
        ephemeral=rules.results_ephemeral,
        gpu_ms=gpu_ms_of(work, gpu_ms_per_step=model.gpu_ms_per_step),
    )


def seeds(first: int, count: int) -> tuple[int, ...]:
    """Return the seeds of a request's images: the first and those after it, from 0 again after the last there is."""
    return tuple((first + index) % (MAX_SEED + 1) for index in range(count))


def _size_allowed(width: int, height: int, sizes: Sequence[str], *, enlarged: bool) -> bool:
    """Return whether this is one of `sizes`, or where it may be `enlarged`, one of them doubled once or twice."""
    return any(
        width % factor == height % factor == 0 and f"{width // factor}x{height // factor}" in sizes
        for factor in ((1, 2, 4) if enlarged else (1,))
    )


def _nsfw_allowed(rule: str, *, channel_nsfw: bool) -> bool:
    return rule == "spoiler" or (rule == "age_restricted" and channel_nsfw)


def pick_model(models: Sequence[ModelOptions], slug: str | None) -> ModelOptions | None:
    """Return the model of this slug; without a slug the default model, else the first."""
    if slug:
        return next((each for each in models if each.slug == slug), None)
    return next((each for each in models if each.is_default), models[0] if models else None)


def _range(parameter: str, allowed: str) -> Refusal:
    return Refusal(code="parameter_out_of_range", params={"parameter": parameter, "range": allowed})
