"""Whether a guild allows a request, and the parameters it runs with. Without I/O: facts in, plan or refusal out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from discord_api.permissions import can_attach_files

from . import blocked_terms, features, lora_selection, preset_options, prompt_language, prompt_weights
from .generation_params import MAX_SEED, GenerationParams, RequestedParams
from .gpu_time_estimates import gpu_ms_of, strength_of, work_of
from .model_families import DEFAULT_FAMILY, FAMILIES, ModelFamily
from .preset_options import PresetOptions
from .prompt_language import PromptError
from .samplers import SAMPLERS
from .term_search import TermRules

# Means a random seed, as in other Stable Diffusion tools.
RANDOM_SEED = -1
MAX_PROMPT = 6000
SPEEDS = ("prompt", "relaxed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request is refused. `code` is stable; `params` are those of the sentence that the member reads."""

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
    family: str = DEFAULT_FAMILY
    lora_family: str = ""

    @property
    def loras_family(self) -> str:
        """The family of the LoRAs that fit, "" if that is unknown: three kinds of Stable Diffusion share one family."""
        return self.lora_family or (self.family if self.family in lora_selection.FAMILIES else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleOptions:
    slug: str
    template: str
    negative_prompt: str
    loras: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuildPolicy:
    """The rules of a guild and the platform for one member.

    Terms are keyed by `blocked_terms.fold`; the values are the phrases as moderators wrote them.
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
    max_images: int = 4
    default_negative_prompt: str = ""
    nsfw_rule: str = "never"
    results_ephemeral: bool = False
    switched_off: frozenset[str] = frozenset()
    ban_reason: str | None = None
    blocked_terms: Mapping[str, str] = field(default_factory=dict)
    nsfw_terms: Mapping[str, str] = field(default_factory=dict)
    term_rules: TermRules = field(default_factory=TermRules)
    models: Sequence[ModelOptions] = ()
    styles: Sequence[StyleOptions] = ()
    # Of the member: the preset that was named, and the defaults.
    presets: Sequence[PresetOptions] = ()
    prompt_lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    loras: Sequence[lora_selection.LoraOptions] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedOptions:
    """Where a member makes a request, and its parameters.

    `channel_nsfw` is None if unknown. `channel_complete` is False if there may be parent channels that are not named.
    """

    channel_id: int
    parent_channel_id: int | None = None
    category_id: int | None = None
    channel_nsfw: bool | None
    channel_complete: bool = True
    role_ids: frozenset[int]
    app_permissions: int | None
    params: RequestedParams
    # A moderator made the key for it: the rules about who may type the command, and where, do not apply.
    by_api: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An allowed request with every default filled in. `params.prompt` is `prompt` with the style.

    `gpu_ms` is the estimate to reserve.
    """

    prompt: str
    params: GenerationParams
    style: str
    model_id: int
    spoiler: bool
    ephemeral: bool
    gpu_ms: int


def check_access(rules: GuildPolicy, options: RequestedOptions) -> Refusal | None:
    """Return the refusal if this member may not use Sparkle in this channel, else None."""
    if rules.maintenance:
        return Refusal(code="maintenance", params={"notice": rules.notice})
    if not rules.enabled:
        return Refusal(code="guild_disabled")
    if rules.ban_reason is not None:
        return Refusal(code="banned", params={"reason": rules.ban_reason})
    if options.by_api:
        return None
    # Allowing a channel or category allows the threads and channels in it.
    places = {options.channel_id, options.parent_channel_id, options.category_id}
    if rules.allowed_channel_ids and not rules.allowed_channel_ids & places:
        if not options.channel_complete:
            return Refusal(code="channel_unknown")
        return Refusal(code="channel_not_allowed", params={"channels": sorted(rules.allowed_channel_ids)[:5]})
    if rules.allowed_role_ids and not rules.allowed_role_ids & options.role_ids:
        return Refusal(code="role_required", params={"roles": sorted(rules.allowed_role_ids)[:5]})
    if not rules.results_ephemeral and not _may_post(options.app_permissions):
        return Refusal(code="cannot_post_here")
    return None


def _may_post(permissions: int | None) -> bool:
    # Absent is never "no". The reply uses the interaction's token, which needs no VIEW_CHANNEL.
    return permissions is None or can_attach_files(permissions)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filled:
    """A model, a style and parameters that are in range, before the prompt's words are checked.

    `expanded_prompt` is the prompt with its choices made, without the style.
    """

    model: ModelOptions
    style: StyleOptions | None
    params: GenerationParams
    expanded_prompt: str


def plan_generation(rules: GuildPolicy, options: RequestedOptions, *, seed: int) -> Plan | Refusal:
    """Fill in defaults and check the request against every rule. `seed` is used if the member set none.

    1. Check access, and that there is a prompt beside its `<lora:...>` tags.
    2. Fill in the member's presets, check that nothing is used that is switched off, then fill in each parameter and
       check its range.
    3. Find the LoRAs.
    4. Make the prompt's choices, and check it against the blocked terms, with its tags and without.
    5. Estimate the GPU time.
    """
    typed = options.params.prompt.strip()
    prompt, in_prompt = lora_selection.take_from_prompt(typed)
    refusal = check_access(rules, options) or _check_prompt(prompt)
    if refusal:
        return refusal
    # Before and after: presets may be switched off themselves, and may ask for something that is.
    requested = _check_features(rules, options.params) or _fill_presets(rules, options.params)
    if isinstance(requested, Refusal):
        return requested
    if refusal := _check_features(rules, requested):
        return refusal
    filled = _fill_parameters(rules, requested, prompt=prompt, seed=seed)
    if isinstance(filled, Refusal):
        return filled
    uses = lora_selection.choose(
        rules.loras,
        typed=requested.loras,
        in_prompt=in_prompt,
        in_style=filled.style.loras if filled.style else "",
        family=filled.model.loras_family,
    )
    # What is typed, what is shown, and what the model reads: signs of choices, weights and LoRAs hide no term.
    texts = dict.fromkeys((typed, prompt, prompt_weights.plain(filled.expanded_prompt)))
    adult = any(rules.term_rules.find(text, rules.nsfw_terms) is not None for text in texts) or (
        not isinstance(uses, lora_selection.LoraProblem) and any(use.lora.adult for use in uses)
    )
    refusal = _check_terms(rules, options, texts, adult=adult)
    if refusal:
        return refusal
    if isinstance(uses, lora_selection.LoraProblem):
        return Refusal(code=uses.code, params=uses.params)
    return Plan(
        prompt=prompt,
        params=replace(
            filled.params,
            prompt=lora_selection.add_trigger_words(filled.params.prompt, uses),
            loras=lora_selection.format_uses(uses),
        ),
        style=filled.style.slug if filled.style else "",
        model_id=filled.model.id,
        spoiler=adult and not options.channel_nsfw,
        ephemeral=rules.results_ephemeral or bool(requested.is_private),
        gpu_ms=_estimate_gpu_ms(requested, filled),
    )


def _check_features(rules: GuildPolicy, params: RequestedParams) -> Refusal | None:
    feature = features.switched_off(params, rules.switched_off, always_private=rules.results_ephemeral)
    return Refusal(code="feature_off", params={"feature": feature}) if feature else None


def _check_prompt(prompt: str) -> Refusal | None:
    if blocked_terms.is_blank(prompt):
        return Refusal(code="prompt_empty")
    return _too_long("prompt") if len(prompt) > MAX_PROMPT else None


def _expand(rules: GuildPolicy, prompt: str, *, seed: int) -> str | Refusal:
    try:
        return prompt_language.expand(prompt, lists=rules.prompt_lists, seed=seed, limit=MAX_PROMPT)
    except PromptError as error:
        return Refusal(code=error.code, params=error.params)


def _fill_presets(rules: GuildPolicy, requested: RequestedParams) -> RequestedParams | Refusal:
    """Fill in what the member did not set: from the preset, then from the member's defaults.

    A model or style that is no longer offered is refused. Steps, count and size give way to the limits, and LoRAs that
    are no longer offered or do not fit the model are left out.
    """
    name = preset_options.normalize_name(requested.preset or "")
    presets = preset_options.ordered(rules.presets)
    if name and not any(preset.name == name for preset in presets):
        return Refusal(code="preset_unknown", params={"name": name})
    for preset in presets:
        for what, offered in (("model", rules.models), ("style", rules.styles)):
            slug = getattr(preset, what)
            if getattr(requested, what) is not None or not slug:
                continue
            if not any(known.slug == slug for known in offered):
                code = f"preset_{what}_gone" if preset.name else f"default_{what}_gone"
                return Refusal(code=code, params={"name": preset.name, what: slug})
            requested = replace(requested, **{what: slug})
        for what in ("steps", "count"):
            if getattr(requested, what) is None and getattr(preset, what) is not None:
                lowerable = requested.lowerable | {what}
                requested = replace(requested, **{what: getattr(preset, what)}, lowerable=lowerable)
        if requested.is_private is None:
            requested = replace(requested, is_private=preset.is_private)
        model = pick_model(rules.models, requested.model)
        if requested.width is None and model is not None and preset.size in _sizes(rules, model):
            width, height = map(int, preset.size.split("x"))
            requested = replace(requested, width=width, height=height)
        if not requested.loras and model is not None:
            kept = lora_selection.keep_usable(preset.loras, rules.loras, family=model.loras_family)
            requested = replace(requested, loras=kept)
    return requested


def _sizes(rules: GuildPolicy, model: ModelOptions) -> Sequence[str]:
    return [size for size in model.sizes if not rules.allowed_sizes or size in rules.allowed_sizes] or model.sizes[:1]


def _fill_parameters(rules: GuildPolicy, requested: RequestedParams, *, prompt: str, seed: int) -> _Filled | Refusal:
    model = pick_model(rules.models, requested.model)
    if model is None:
        return _out_of_range("model", ", ".join(offered.slug for offered in rules.models) or "-")
    style = next((style for style in rules.styles if style.slug == requested.style), None) if requested.style else None
    if requested.style and style is None:
        return _out_of_range("style", ", ".join(dict.fromkeys(style.slug for style in rules.styles)) or "-")
    family = FAMILIES[model.family]
    if ignored := _ignored_option(family, requested):
        return Refusal(code="option_not_used", params={"parameter": ignored, "model": model.name})
    sampler = requested.sampler or model.default_sampler
    if sampler not in family.samplers:
        return _out_of_range("sampler", ", ".join(family.samplers))
    steps_limit = min(rules.max_steps, model.max_steps, SAMPLERS[sampler].max_steps)
    steps = _default_or_lowered(
        requested, "steps", default=min(rules.default_steps or model.default_steps, steps_limit), limit=steps_limit
    )
    sizes = _sizes(rules, model)
    size = _pick_size(requested, sizes)
    count = _default_or_lowered(requested, "count", default=rules.max_images, limit=rules.max_images)
    guidance = requested.guidance if requested.guidance is not None else model.default_guidance
    chosen_seed = seed if requested.seed is None or requested.seed == RANDOM_SEED else requested.seed
    negative_prompt = _own_negative_prompt(rules, requested, style)
    ranges = (
        ("steps", 1 <= steps <= steps_limit, f"1-{steps_limit}"),
        ("size", size is not None, ", ".join(sizes)),
        ("count", 1 <= count <= rules.max_images, f"1-{rules.max_images}"),
        ("guidance", 0 <= guidance <= 30, "0-30"),
        ("seed", 0 <= chosen_seed <= MAX_SEED, f"0-{MAX_SEED}"),
        ("speed", requested.speed in (None, *SPEEDS), ", ".join(SPEEDS)),
        ("strength", _strength_allowed(requested), "0.05-1"),
    )
    for parameter, in_range, allowed in ranges:
        if not in_range:
            return _out_of_range(parameter, allowed)
    if len(negative_prompt) > MAX_PROMPT:
        return _too_long("negative_prompt")
    assert size is not None  # noqa: S101  # checked above
    expanded = _expand(rules, prompt, seed=chosen_seed)
    if isinstance(expanded, Refusal):
        return expanded
    # A server's default is not the member's to correct: it stays as it is written.
    if requested.negative_prompt is not None:
        made = _expand(rules, negative_prompt, seed=chosen_seed)
        if isinstance(made, Refusal):
            return made
        negative_prompt = made
    return _Filled(
        model=model,
        style=style,
        expanded_prompt=expanded,
        params=GenerationParams(
            prompt=style.template.replace("{prompt}", expanded, 1) if style else expanded,
            # A default that the model would ignore is left out.
            negative_prompt=_styled_negative_prompt(negative_prompt, style) if family.has_negative_prompt else "",
            seed=chosen_seed,
            count=count,
            steps=steps,
            sampler=sampler,
            guidance=float(guidance),
            width=size[0],
            height=size[1],
            strength=strength_of(requested.kind, requested.strength),
        ),
    )


def _ignored_option(family: ModelFamily, requested: RequestedParams) -> str | None:
    """Return the option that the member chose and models of this family ignore, or None."""
    if requested.negative_prompt and requested.negative_prompt.strip() and not family.has_negative_prompt:
        return "negative_prompt"
    if requested.kind != "txt2img" and requested.strength != 0 and not family.has_image_to_image:
        return "image"
    return None


def _strength_allowed(requested: RequestedParams) -> bool:
    # 0 repaints nothing: it only enlarges.
    strength = requested.strength
    return strength is None or 0 < strength <= 1 or (strength == 0 and requested.kind == "upscale")


def _default_or_lowered(requested: RequestedParams, parameter: str, *, default: int, limit: int) -> int:
    chosen: int | None = getattr(requested, parameter)
    number = default if chosen is None else chosen
    return min(number, limit) if parameter in requested.lowerable else number


def _pick_size(requested: RequestedParams, sizes: Sequence[str]) -> tuple[int, int] | None:
    """Return width and height in pixels, or None for a size that is not allowed."""
    width, height = requested.width, requested.height
    if width is None or height is None:
        width, height = (int(side) for side in sizes[0].split("x"))
    elif requested.kind != "upscale" and not _size_allowed(
        width, height, sizes, enlarged=requested.kind == "variation"
    ):
        return None
    return width, height


def _own_negative_prompt(rules: GuildPolicy, requested: RequestedParams, style: StyleOptions | None) -> str:
    """Return the negative prompt without the style's, which a repeated request contains already."""
    negative = requested.negative_prompt if requested.negative_prompt is not None else rules.default_negative_prompt
    # As submission.params_to_repeat writes it.
    of_style = prompt_language.escape(style.negative_prompt) if style else ""
    if of_style and negative.endswith(of_style):
        return negative.removesuffix(of_style).removesuffix(", ")
    return negative


def _styled_negative_prompt(negative: str, style: StyleOptions | None) -> str:
    return ", ".join(part for part in (negative, style.negative_prompt if style else "") if part)


def _check_terms(rules: GuildPolicy, options: RequestedOptions, texts: Iterable[str], *, adult: bool) -> Refusal | None:
    # A negative prompt steers away from a term, so only the prompt is checked.
    terms = (rules.term_rules.find(text, rules.blocked_terms) for text in texts)
    term = next((term for term in terms if term is not None), None)
    if term is not None:
        return Refusal(code="term_blocked", params={"term": rules.blocked_terms[term], "folded": term})
    if adult and rules.nsfw_rule == "age_restricted" and options.channel_nsfw is None:
        return Refusal(code="channel_unknown")
    if adult and not _nsfw_allowed(rules.nsfw_rule, channel_nsfw=bool(options.channel_nsfw)):
        return Refusal(code="nsfw_not_allowed", params={"rule": rules.nsfw_rule})
    return None


def _estimate_gpu_ms(requested: RequestedParams, filled: _Filled) -> int:
    params = filled.params
    work = work_of(
        kind=requested.kind,
        sampler=params.sampler,
        steps=params.steps,
        strength=params.strength,
        guidance=params.guidance,
        width=params.width,
        height=params.height,
        count=params.count,
    )
    return gpu_ms_of(work, gpu_ms_per_step=filled.model.gpu_ms_per_step)


def _size_allowed(width: int, height: int, sizes: Sequence[str], *, enlarged: bool) -> bool:
    """Return whether this is one of `sizes`; with `enlarged`, one of them doubled once or twice is allowed too."""
    return any(
        width % factor == height % factor == 0 and f"{width // factor}x{height // factor}" in sizes
        for factor in ((1, 2, 4) if enlarged else (1,))
    )


def _nsfw_allowed(rule: str, *, channel_nsfw: bool) -> bool:
    return rule == "spoiler" or (rule == "age_restricted" and channel_nsfw)


def pick_model(models: Sequence[ModelOptions], slug: str | None) -> ModelOptions | None:
    """Return the model of this slug; without a slug the default model, else the first."""
    if slug:
        return next((model for model in models if model.slug == slug), None)
    return next((model for model in models if model.is_default), models[0] if models else None)


def _out_of_range(parameter: str, allowed: str) -> Refusal:
    return Refusal(code="parameter_out_of_range", params={"parameter": parameter, "range": allowed})


def _too_long(parameter: str) -> Refusal:
    return Refusal(code="text_too_long", params={"parameter": parameter, "limit": MAX_PROMPT})
