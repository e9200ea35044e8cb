"""The samplers that members can choose. Schedulers are named as text, since only the worker imports diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

MAX_STEPS = 150
Predicts = Literal["epsilon", "flow", "own"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """A scheduler class of diffusers, created with `from_config(config, **options)`, for at most `max_steps` steps.

    It evaluates the model `order` times per step, once in the last step, and `extra` times more. `predicts`: what the
    models that it works with predict, the noise (epsilon, v) or the flow; "own": the model's own scheduler is used.
    """

    label: str
    scheduler: str
    options: Mapping[str, Any] = field(default_factory=dict)
    max_steps: int = MAX_STEPS
    order: int = 1
    extra: int = 0
    predicts: Predicts = "epsilon"

    def evaluations(self, steps: int) -> int:
        """Return the number of model evaluations for `steps` steps."""
        return self.order * steps - (self.order - 1) + self.extra


# First the eight samplers of the AWS sample, under its names.
SAMPLERS: Mapping[str, Sampler] = MappingProxyType(
    {
        "k_lms": Sampler(label="LMS (k_lms)", scheduler="LMSDiscreteScheduler"),
        "k_euler_a": Sampler(label="Euler ancestral (k_euler_a)", scheduler="EulerAncestralDiscreteScheduler"),
        "PLMS": Sampler(label="PLMS", scheduler="PNDMScheduler", options={"skip_prk_steps": True}, extra=1),
        "DDIM": Sampler(label="DDIM", scheduler="DDIMScheduler"),
        "k_dpm_2_a": Sampler(label="DPM2 ancestral (k_dpm_2_a)", scheduler="KDPM2AncestralDiscreteScheduler", order=2),
        "k_dpm_2": Sampler(label="DPM2 (k_dpm_2)", scheduler="KDPM2DiscreteScheduler", order=2),
        "k_euler": Sampler(label="Euler (k_euler)", scheduler="EulerDiscreteScheduler"),
        "k_heun": Sampler(label="Heun (k_heun)", scheduler="HeunDiscreteScheduler", order=2),
        "dpmpp_2m_karras": Sampler(
            label="DPM++ 2M Karras", scheduler="DPMSolverMultistepScheduler", options={"use_karras_sigmas": True}
        ),
        "unipc": Sampler(label="UniPC", scheduler="UniPCMultistepScheduler"),
        "euler": Sampler(
            label="Euler, trailing", scheduler="EulerDiscreteScheduler", options={"timestep_spacing": "trailing"}
        ),
        "lcm": Sampler(label="LCM (few steps)", scheduler="LCMScheduler", max_steps=50),  # original_inference_steps
        # For flow-matching models (Stable Diffusion 3, FLUX, ...), which no sampler above can serve.
        "flow_euler": Sampler(
            label="Euler (flow models)", scheduler="FlowMatchEulerDiscreteScheduler", predicts="flow"
        ),
        "flow_dpmpp_2m": Sampler(
            label="DPM++ 2M (flow models)", scheduler="DPMSolverMultistepScheduler", predicts="flow"
        ),
        "flow_unipc": Sampler(label="UniPC (flow models)", scheduler="UniPCMultistepScheduler", predicts="flow"),
        "own": Sampler(label="The model's own", scheduler="", predicts="own"),
    }
)
