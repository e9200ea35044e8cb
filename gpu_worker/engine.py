"""The engine's contract: requests go in, one call advances all of them, events come out.

It is small, so that static batching and continuous batching can both implement it. Only `cancel` is thread-safe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from guilds.generation_params import GenerationParams

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterUse:
    """An adapter (LoRA) of a request: its file on this machine, and how strongly it is applied.

    `key` changes when the file's content does.
    """

    key: str
    path: Path
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest(GenerationParams):
    """The images of one job. `source` is an RGB image to start from, of `width` x `height` pixels (image to image).

    `mask`, of the same size, is white where the model paints and black where the source stays. None: paint everywhere.
    """

    id: int
    source: Image | None = None
    mask: Image | None = None
    preview: bool = False
    adapters: tuple[AdapterUse, ...] = ()

    @property
    def cost(self) -> float:
        """How much of an engine's capacity it takes, in images of 512x512."""
        return self.count * self.width * self.height / (512 * 512)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """A request has done `step` of `total` steps. After the last one its images are decoded."""

    id: int
    step: int
    total: int
    preview: Image | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A request has its images. `gpu_ms` is its share of the time of the steps that it shared.

    `truncated_tokens`: how many tokens of its prompts the model did not read.
    """

    id: int
    images: tuple[Image, ...]
    gpu_ms: int
    truncated_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """A cancelled request has left the batch without images."""

    id: int
    gpu_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """This request failed; the others go on. `reason` is a stable code of a job.

    `gpu_ms` is the time that it used, None where that was not measured.
    """

    id: int
    reason: str
    detail: str = ""
    permanent: bool = True
    gpu_ms: int | None = None


Event = StepDone | Completed | Cancelled | Failed


class EngineBroken(Exception):
    """The device is unusable (a CUDA error). Release every job and replace the process."""


class ModelUnavailable(Exception):
    """The model cannot be loaded. The message tells an operator why. Trying again will not help."""


class ModelTooLarge(ModelUnavailable):
    """The GPU has too little free memory for the model."""


class Engine(Protocol):
    device: str
    model: str
    memory_bytes: int  # the weights
    capacity: float  # the GenerationRequest.cost that it serves at once without slowing all of it down

    @property
    def used_capacity(self) -> float:
        """The cost of the requests inside."""

    def admit(self, request: GenerationRequest) -> None:
        """Add the request at the next step. If it is invalid, `advance` emits Failed."""

    def cancel(self, request_id: int) -> None:
        """Remove the request at its next step, with a Cancelled event. Unknown ids are ignored. Thread-safe."""

    def advance(self, emit: Callable[[Event], None]) -> None:
        """Do one step (or one call of the pipeline) for the requests inside. Raise EngineBroken.

        An error in one request is emitted as its Failed event, and the others go on.
        """

    def probe(self) -> None:
        """Check while idle that the device still computes. Raise EngineBroken."""

    def close(self) -> None:
        """Free the memory."""
