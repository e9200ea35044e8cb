"""Which pipelines of diffusers are served by whole calls, and how the arguments of a call follow from a request.

An allow-list: that a pipeline takes a prompt says nothing about what it returns. Some fifty of them make videos, audio
or text, some change a source image, and some let a language model rewrite the prompt after it was moderated.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guilds.model_families import FAMILIES

from .engine import GenerationRequest

WHOLE_CALL_PIPELINES = frozenset(FAMILIES["whole-call"].pipelines)
# Their images depend on what else is in the call: prompts of other lengths shift the text's positions.
_ALONE = frozenset({"QwenImage21Pipeline", "GlmImagePipeline", "OmniGenPipeline"})
# Each changes the prompt or the size behind the member's back.
_FIXED: Mapping[str, Any] = {
    "enable_prompt_rewrite": False,
    "prompt_upsampling": False,
    "caption_upsample_temperature": None,
    "clean_caption": False,
    "use_resolution_binning": False,
    "_auto_resize": False,
}
_UNLIMITED = 10**9  # tokenizers without a limit say a number beyond any


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSignature:
    """What a pipeline's call accepts.

    `guidance`: the argument that is the guidance scale, None where there is none. `reads_negative`: whether a negative
    prompt changes the image. `shares_calls`: whether requests may share a call. `size_multiple` in pixels.
    """

    accepts: frozenset[str]
    guidance: str | None
    reads_negative: bool
    shares_calls: bool
    size_multiple: int
    max_sequence_length: int | None

    def arguments(self, batch: Sequence[GenerationRequest]) -> dict[str, Any]:
        """Return the arguments for requests of equal size, steps and guidance, except for generators and callbacks."""
        first = batch[0]
        arguments: dict[str, Any] = {
            "prompt": [request.prompt for request in batch for _ in request.seeds],
            "num_inference_steps": first.steps,
            "width": first.width,
            "height": first.height,
            # As numbers: PIL images would show what is not finite as black.
            "output_type": "np",
            # Kontext scales the size to this area.
            "max_area": first.width * first.height,
            **_FIXED,
        }
        if self.guidance is not None:
            arguments[self.guidance] = first.guidance
        # true_cfg_scale works only with a negative prompt, even if that is empty.
        needs_negative = self.guidance == "true_cfg_scale" or any(request.negative_prompt for request in batch)
        if self.reads_negative and first.guidance > 1 and needs_negative:
            arguments["negative_prompt"] = [request.negative_prompt for request in batch for _ in request.seeds]
        return {name: value for name, value in arguments.items() if name in self.accepts}


def signature_of(pipe: Any) -> CallSignature:
    """Return what the pipeline's call accepts."""
    parameters = inspect.signature(pipe.__call__).parameters
    guidance = "guidance_scale" if "guidance_scale" in parameters else None
    has_true_cfg = "true_cfg_scale" in parameters
    if has_true_cfg and (guidance is None or parameters["guidance_scale"].default is None):
        # Qwen-Image: its guidance_scale is an input of distilled models, which this one is not.
        guidance = "true_cfg_scale"
    longest = parameters["max_sequence_length"].default if "max_sequence_length" in parameters else None
    return CallSignature(
        accepts=frozenset(parameters),
        guidance=guidance,
        # Where the guidance is an input of the model, a negative prompt is read only with true_cfg_scale beside it.
        reads_negative="negative_prompt" in parameters and (not has_true_cfg or guidance == "true_cfg_scale"),
        shares_calls=type(pipe).__name__ not in _ALONE,
        size_multiple=_size_multiple(pipe),
        max_sequence_length=longest if isinstance(longest, int) else None,
    )


def truncated_tokens(pipe: Any, signature: CallSignature, text: str) -> int:
    """Return how many tokens of `text` no text encoder reads: each truncates at its own limit."""
    parts = [part for name, part in pipe.components.items() if name.startswith("tokenizer") and part is not None]
    # A processor of a language model holds its tokenizer, and has no limit itself.
    tokenizers = [getattr(part, "tokenizer", part) for part in parts]
    limits = [int(getattr(tokenizer, "model_max_length", _UNLIMITED)) for tokenizer in tokenizers]
    if limits and signature.max_sequence_length is not None:
        # The pipeline sets the limit of the last one (T5 or a language model); the others have their own.
        limits[-1] = min(limits[-1], signature.max_sequence_length)
    lengths = [len(tokenizer(text, truncation=False, verbose=False).input_ids) for tokenizer in tokenizers]
    return min((max(0, length - limit) for length, limit in zip(lengths, limits, strict=True)), default=0)


def _size_multiple(pipe: Any) -> int:
    """Return what both sides must be multiples of: what the pipeline's own image processor rounds to."""
    processor = getattr(pipe, "image_processor", None)
    factors = [
        getattr(pipe, "vae_scale_factor", None),
        getattr(getattr(processor, "config", None), "vae_scale_factor", None),
    ]
    return max((int(factor) for factor in factors if isinstance(factor, int)), default=8)
