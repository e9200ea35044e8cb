"""No request waits for the compiler: images before, during and after compilation are the same."""

from __future__ import annotations

import shutil
import sysconfig
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_worker.batch_policy import rows_to_compile
from gpu_worker.engine import Completed, GenerationRequest

from . import tiny_models

torch = pytest.importorskip("torch")
WITHIN_S = 600
LATENTS = (12, 8, 8)  # of the tiny pipeline
# The compiler's warnings are not tested here.
pytestmark = pytest.mark.filterwarnings("ignore")


class Compiler:
    """A backend of torch.compile that only records the rows that it compiled and those that it ran."""

    def __init__(self) -> None:
        self.compiled: list[int] = []
        self.ran: list[int] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self, graph: Any, inputs: list[Any]) -> Callable[..., Any]:
        assert self.may_go_on.wait(WITHIN_S)
        (rows,) = {len(each) for each in inputs if getattr(each, "shape", ())[1:] == LATENTS}
        self.compiled.append(rows)

        def run(*arguments: Any) -> Any:
            self.ran.append(rows)
            return graph.forward(*arguments)

        return run


def _engine(backend: Any, *, rows: tuple[int, ...] = rows_to_compile(max_rows=8)) -> Any:
    from diffusers import StableDiffusionPipeline

    from gpu_worker.compilation import CompiledDenoiser
    from gpu_worker.continuous_batching import ContinuousBatchEngine
    from gpu_worker.families.stable_diffusion import StableDiffusion

    pipe = StableDiffusionPipeline.from_pretrained(tiny_models.folder())
    family = StableDiffusion(pipe)
    return ContinuousBatchEngine(
        family,
        model="tiny",
        max_rows=8,
        capacity=4.0,
        compiled=CompiledDenoiser(family.denoiser, example=family.example_call, rows=rows, backend=backend),
    )


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    torch.compiler.set_stance("default")
    torch._dynamo.reset()


def _images(engine: Any, **fields: Any) -> tuple[Any, ...]:
    defaults: dict[str, Any] = {
        "id": 1,
        "prompt": "a red cat",
        "seed": 3,
        "count": 4,
        "steps": 3,
        "sampler": "DDIM",
        "guidance": 7.5,
        "width": tiny_models.SIZE,
        "height": tiny_models.SIZE,
    }
    engine.admit(GenerationRequest(**(defaults | fields)))
    made: list[Completed] = []
    while engine.used_capacity:
        engine.advance(lambda event: made.append(event) if isinstance(event, Completed) else None)
    return made[0].images


def _same(left: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    pairs = zip(left, right, strict=True)
    return all(max(abs(x - y) for x, y in zip(a.tobytes(), b.tobytes(), strict=True)) <= 1 for a, b in pairs)


def test_the_first_images_come_before_compilation_and_the_next_during_it() -> None:
    compiler = Compiler()
    compiler.may_go_on.clear()
    engine = _engine(compiler)
    first = _images(engine)
    # The compiler is working now.
    beside = _images(engine)
    assert compiler.ran == compiler.compiled == []
    compiler.may_go_on.set()
    assert engine.wait_until_compiled(WITHIN_S)
    after = _images(engine)
    assert compiler.compiled == [8, 4, 2]
    assert compiler.ran.count(8) == 1 + 3  # the example, and three steps
    assert _same(first, beside)
    assert _same(first, after)


def test_other_shapes_are_not_compiled_while_a_request_waits() -> None:
    compiler = Compiler()
    engine = _engine(compiler, rows=(8,))
    assert engine.wait_until_compiled(WITHIN_S)
    before = list(compiler.compiled)
    ran = len(compiler.ran)
    _images(engine, width=2 * tiny_models.SIZE)  # another size
    _images(engine, prompt="cat " * 60)  # a longer prompt
    _images(engine, count=1)  # too few rows to pad
    assert compiler.compiled == before
    assert len(compiler.ran) == ran
    _images(engine)
    assert len(compiler.ran) == ran + 3


def test_rows_padded_for_a_compiled_shape_change_no_image() -> None:
    compiler = Compiler()
    engine = _engine(compiler, rows=(8, 4))
    alone = _images(engine, count=2)
    plain = [_images(engine, count=count, guidance=1.0) for count in (3, 4)]
    assert engine.wait_until_compiled(WITHIN_S)
    ran = len(compiler.ran)
    assert _same(_images(engine, count=2), alone)
    assert len(compiler.ran) == ran + 3
    for count, before in zip((3, 4), plain, strict=True):
        assert _same(_images(engine, count=count, guidance=1.0), before)


def test_a_worker_makes_images_after_compilation_failed() -> None:
    def broken(graph: Any, inputs: list[Any]) -> Any:
        raise RuntimeError("no compiler here")

    engine = _engine(broken)
    before = _images(engine)
    assert engine.wait_until_compiled(WITHIN_S)
    assert _same(_images(engine), before)


def test_an_idle_worker_compiles_and_a_closed_engine_stops_after_the_current_shape() -> None:
    compiler = Compiler()
    compiler.may_go_on.clear()
    engine = _engine(compiler)
    engine.probe()
    engine.close()
    compiler.may_go_on.set()
    for thread in threading.enumerate():
        if thread.name == "compile":
            thread.join(WITHIN_S)
    assert len(set(compiler.compiled)) <= 1


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("g++") or not Path(sysconfig.get_paths()["include"], "Python.h").is_file(),
    reason="torch.compile needs a C++ compiler and Python's headers here",
)
@pytest.mark.processes
def test_the_real_compiler_makes_the_same_images_and_fills_the_cache_for_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    engine = _engine("inductor", rows=(8,))
    before = _images(engine)
    assert engine.wait_until_compiled(WITHIN_S)
    assert engine._compiled._ready == {8}
    assert _same(_images(engine), before)
    assert any(tmp_path.rglob("*.so"))
    torch._dynamo.reset()
    found = _cache_hits()
    engine = _engine("inductor", rows=(8,))
    assert engine.wait_until_compiled(WITHIN_S)
    assert engine._compiled._ready == {8}
    assert _cache_hits() > found


def _cache_hits() -> int:
    counters = torch._dynamo.utils.counters
    return int(counters["inductor"]["fxgraph_cache_hit"] + counters["aot_autograd"]["autograd_cache_hit"])
