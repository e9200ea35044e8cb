"""What the worker knows of an engine: requests go in, one call advances all of them, events come out.

The contract is small on purpose, so that a batch a call and batches that requests join and leave at every step
(gpu_worker.continuous_batching) stand behind the same five names. Only `cancel` may be called from another thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from guilds import policy

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """The pictures of one job: seeds `seed`, `seed + 1`, ... of one prompt.

    `source` is an RGB picture to start from (image to image); `strength` in (0, 1] is how much of it is repainted.
    """

    id: int
    prompt: str
    negative_prompt: str = ""
    seed: int
    count: int
    steps: int
    sampler: str
    guidance: float
    width: int
    height: int
    source: Image | None = None
    strength: float = 1.0
    preview: bool = False

    @property
    def seeds(self) -> tuple[int, ...]:
        return policy.seeds(self.seed, self.count)

    @property
    def weight(self) -> float:
        """How much of a card's room it takes: pictures, counted in 512x512."""
        return self.count * self.width * self.height / (512 * 512)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """A request finished `step` of `total` evaluations of the model. After the last its images are decoded."""

    id: int
    step: int
    total: int
    preview: Image | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A request is done. `gpu_ms` is its share of the time that it was computed in company.

    `truncated_tokens`: so many tokens of its prompts were more than the model reads, and left out.
    """

    id: int
    images: tuple[Image, ...]
    gpu_ms: int
    truncated_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """A cancelled request left the batch; no picture of it was decoded."""

    id: int
    gpu_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """This request cannot be made; the others go on. `reason` is a stable code of a job.

    `gpu_ms` is what it took until then, None where that was not measured.
    """

    id: int
    reason: str
    detail: str = ""
    permanent: bool = True
    gpu_ms: int | None = None


Event = StepDone | Completed | Cancelled | Failed


class EngineBroken(Exception):
    """The device is unusable (a CUDA error): release every job and leave the process."""


class ModelUnavailable(Exception):
    """The model cannot be loaded; the message says why in words for an operator. Trying again will not help."""


class ModelTooLarge(ModelUnavailable):
    """The card has no room for the model beside what is on it now."""


class Engine(Protocol):
    device: str
    model: str
    memory_bytes: int  # what it holds while idle
    room: float  # how much Request.weight it serves at once without making everyone slower

    @property
    def load(self) -> float:
        """The weight of the requests inside."""

    def admit(self, request: GenerationRequest) -> None:
        """Let the request join at the next step. What is wrong with it comes as Failed from `advance`."""

    def cancel(self, request_id: int) -> None:
        """Have the request leave at its next step, with a Left event. Unknown ids are ignored. Thread-safe."""

    def advance(self, emit: Callable[[Event], None]) -> None:
        """Do one step (or one call of the pipeline) for the requests inside. Raise EngineBroken.

        What goes wrong with one request comes as its Failed, and the others go on.
        """

    def probe(self) -> None:
        """Have the device compute something small while nothing is inside. Raise EngineBroken."""

    def close(self) -> None:
        """Free the memory."""
