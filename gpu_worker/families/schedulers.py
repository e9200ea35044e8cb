"""Makes a scheduler of diffusers by a sampler's name, with the training options of the model's own.

A sampler that does not fit what the model predicts is refused: `from_config` would build it without a word, and the
images would be noise.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import diffusers

from guilds.samplers import SAMPLERS, Predicts

# Options of the solver that the model's author used. Here the sampler names the solver, and these options would change
# or break it: UniPC's bh1 divides by an infinite last step, and every image is NaN.
_SOLVER_OPTIONS = frozenset(
    {"solver_type", "solver_order", "algorithm_type", "lower_order_final", "euler_at_final", "final_sigmas_type",
     "predict_x0", "disable_corrector", "solver_p", "variance_type", "use_flow_sigmas", "use_dynamic_shifting"}
)  # fmt: skip
_SPACING_OPTIONS = frozenset({"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"})


class SchedulerFactory:
    """The samplers of one loaded model. `make` belongs to the engine's thread."""

    def __init__(self, own: Any, *, predicts: Predicts) -> None:
        """`own` is the scheduler that the model came with."""
        self._own = own
        self._predicts = predicts
        self._prototypes: dict[str, Any] = {}
        self._coefficients: dict[tuple[str, int, int, int, int], float] = {}

    def make(self, name: str) -> Any:
        """Return a new scheduler without timesteps. Raise KeyError for a sampler that this model cannot use."""
        if name not in self._prototypes:
            if SAMPLERS[name].predicts != self._predicts:
                raise KeyError(name)
            self._prototypes[name] = self._epsilon(name) if self._predicts == "epsilon" else self._flow(name)
        # A copy: making some of them takes 80 ms, which would delay the next step of every request.
        scheduler = copy.deepcopy(self._prototypes[name])
        if hasattr(scheduler, "get_lms_coefficient"):
            self._cache_coefficients(scheduler, name)
        return scheduler

    def set_flow_timesteps(self, scheduler: Any, *, steps: int, mu: float, sigmas: Any = None) -> None:
        """Set timesteps on the CPU, where indexing them never waits for the GPU.

        `mu` is the shift for this size, used where the model's own scheduler shifts by size. `sigmas`: the unshifted
        noise levels from which the model's pipeline starts, None for the scheduler's own.
        """
        if isinstance(scheduler, diffusers.FlowMatchEulerDiscreteScheduler):
            scheduler.set_timesteps(None if sigmas is not None else steps, device="cpu", sigmas=sigmas, mu=mu)
            return
        if self._own.config.get("use_dynamic_shifting"):
            # The solvers know a plain shift, which is the same: exp(mu), or mu where the shift is linear.
            is_linear = self._own.config.get("time_shift_type") == "linear"
            scheduler.register_to_config(flow_shift=mu if is_linear else math.exp(mu), use_dynamic_shifting=False)
        scheduler.set_timesteps(steps, device="cpu")

    def _epsilon(self, name: str) -> Any:
        sampler = SAMPLERS[name]
        # A sampler that names its spacing of sigmas excludes the model's own.
        has_spacing = any(option in _SPACING_OPTIONS for option in sampler.options)
        config = {
            key: value
            for key, value in self._own.config.items()
            if key not in _SOLVER_OPTIONS and not (has_spacing and key in _SPACING_OPTIONS)
        }
        return getattr(diffusers, sampler.scheduler).from_config(config, **sampler.options)

    def _flow(self, name: str) -> Any:
        own, kind = self._own, getattr(diffusers, SAMPLERS[name].scheduler)
        if type(own) is kind:
            # The author's own solver, with each of its options.
            return kind.from_config(own.config)
        shift = own.config.get("shift") or own.config.get("flow_shift") or 1.0
        steps = own.config.get("num_train_timesteps", 1000)
        if kind is diffusers.FlowMatchEulerDiscreteScheduler:
            return kind(num_train_timesteps=steps, shift=shift)
        return kind(
            num_train_timesteps=steps, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
        )

    def _cache_coefficients(self, scheduler: Any, name: str) -> None:
        """Compute each coefficient, an integral that takes 2 ms a step, once for each number of steps."""
        compute, coefficients = scheduler.get_lms_coefficient, self._coefficients

        def coefficient(order: int, at: int, current: int) -> float:
            key = (name, int(scheduler.num_inference_steps), order, int(at), current)
            if key not in coefficients:
                coefficients[key] = compute(order, at, current)
            return coefficients[key]

        scheduler.get_lms_coefficient = coefficient
