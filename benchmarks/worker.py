"""Images a second: the sample's way, diffusers' documented way, and this worker end to end.

All in one run on the device it finds, with the same weights, 16 steps, guidance 7.5, four images a request:
(a) four single-image calls, one after another; (b) one call of four images; (c) the worker with 1, 4 and 16
queued requests, from claim to completion, with PostgreSQL, storage, encoding and a Discord that takes 60 ms.

(a) and (b) end with images in memory; (c) has five PNGs a request encoded, stored and posted as well. On a GPU that
is beside the next steps. On a CPU it is the same cores' work, so there (c) can be slower than (b) by just that much.

On a GPU the weights are random, of the shapes of SD 1.5 and SDXL. On a CPU it is the demo model.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean
from typing import Any

from devtools import run_directory
from devtools.benchmark_result import Figure, Result
from devtools.hardware import describe

from .svg_plots import bars

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "demo_model" / "pipeline"
STEPS, COUNT, GUIDANCE, SAMPLER = 16, 4, 7.5, "k_lms"  # the sample's
IN_LINE = (1, 4, 16)
DISCORD_S = 0.06
GOALS = {"c4/a": 5.0, "c4/b": 2.0, "denoising_share": 0.5, "sd15_peak_gb": 16.0}


def run(*, full: bool) -> Result:
    """Measure in a separate process: Django is set up once per process. `full` adds the larger model and queue."""
    with run_directory.run_folder("worker-report") as folder:
        report = folder / "worker.json"
        short = [] if full else ["--short"]
        subprocess.run(
            [sys.executable, "-m", "benchmarks.worker", "--json", str(report), *short],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=7200,
        )
        results = json.loads(report.read_text())
    figures: list[Figure] = []
    for shape in results["shapes"]:
        # The goals are for a GPU: two CPU cores are busy with one request.
        goals = GOALS if results["dtype"] == "float16" else {}
        name = shape["name"]
        rates = {"a": shape["a_one_at_a_time"], "b": shape["b_four_a_call"]}
        rates |= {f"c{line}": rate for line, rate in shape["c_worker"].items()}
        figures += [
            Figure(name=f"{name}, ({way}) images", value=rate["images_per_s"], unit="/s") for way, rate in rates.items()
        ]
        figures += [
            Figure(name=f"{name}, {ratio}", value=value, unit="times", goal=goals.get(ratio), at_least=True)
            for ratio, value in shape["ratios"].items()
        ]
        share, peak = shape["denoising"]["share_of_matrix_rate"], shape["worker_peak_gb"]
        figures += [
            Figure(
                name=f"{name}, share of the matrix rate",
                value=share,
                unit="",
                goal=goals.get("denoising_share"),
                at_least=True,
            ),
            Figure(name=f"{name}, peak memory", value=peak, unit="GB", goal=goals.get(f"{name}_peak_gb")),
        ]
        stages = [stage for stage in shape["start"] if stage != "total"]
        figures += [Figure(name=f"{name}, start: {stage}", value=shape["start"][stage], unit="s") for stage in stages]
        figures.append(Figure(name=f"{name}, start to first image", value=shape["start"]["total"], unit="s"))
    device = "cpu" if results["dtype"] == "float32" else re.sub("[^a-z0-9]+", "-", results["device"].lower())
    return Result(figures=tuple(figures), detail=results, plots={"worker": _plot(results)}, on=device)


def _plot(results: dict[str, Any]) -> str:
    """Draw images a second of every way, a group of bars for each model."""
    lines = list(results["shapes"][0]["c_worker"])
    ways: dict[str, list[float | None]] = {
        "one image a call": [shape["a_one_at_a_time"]["images_per_s"] for shape in results["shapes"]],
        "four a call": [shape["b_four_a_call"]["images_per_s"] for shape in results["shapes"]],
    }
    ways |= {
        f"this worker, {line} in line": [shape["c_worker"][line]["images_per_s"] for shape in results["shapes"]]
        for line in lines
    }
    title = f"Images a second: {results['device']}, {STEPS} steps"
    return bars(title, [f"{shape['name']}, {shape['side']} px" for shape in results["shapes"]], ways)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench worker", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--compile", action="store_true", help="run the UNet through torch.compile")
    parser.add_argument("--short", action="store_true", help="the smaller model, and at most 4 queued requests")
    parser.add_argument("--only", choices=["sd15", "sdxl", "demo"], help="one shape")
    parser.add_argument("--first-image", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, default=512, help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    # The worker's own setting; (a) and (b) have it too, or the comparison would be unfair on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with run_directory.run_folder("worker") as folder:
        if asked.first_image:
            _django(folder, "postgres://nobody@127.0.0.1:1/none")
            _first_image(asked.first_image, asked.side, compiled=asked.compile)
            return 0
        with _database(folder) as url:
            _django(folder, url)
            results = _measure(folder, only=asked.only, compiled=asked.compile, short=asked.short)
    text = json.dumps(results, indent=2)
    print(text)
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(text + "\n")
    return 0


@contextmanager
def _database(folder: Path) -> Iterator[str]:
    if os.environ.get("DATABASE_URL"):
        yield os.environ["DATABASE_URL"]
        return
    from devtools.embedded_postgres import ensure

    with ensure(folder / "database", durable=True) as url:
        yield url


def _django(folder: Path, url: str) -> None:
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "devtools.chaos.settings",
        "DJANGO_SECRET_KEY": "benchmark" * 6,
        "DATABASE_URL": url,
        "SPARKLE_LOCAL_DIR": str(folder),
        "JOB_DISPATCHER": "jobs.dispatch.memory.MemoryDispatcher",
        "SPARKLE_LEASE_SECONDS": "600",
        "DATABASE_STATEMENT_TIMEOUT_MS": "20000",
        "LOG_LEVEL": "WARNING",
    }
    import django

    django.setup()


def _measure(folder: Path, *, only: str | None, compiled: bool, short: bool) -> dict[str, Any]:
    import diffusers
    import torch
    from django.core.management import call_command

    from .synthetic_models import SD15, SDXL, Shape

    call_command("migrate", verbosity=0)
    cuda = torch.cuda.is_available()
    lines = IN_LINE[:2] if short else IN_LINE
    shapes = ([SD15] if short else [SD15, SDXL]) if cuda else [Shape(name="demo", side=512, make=None)]
    return {
        "what": "images a second by the worker",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if cuda else f"CPU, threads: {torch.get_num_threads()}",
        "dtype": "float16" if cuda else "float32",
        "machine": describe(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
        },
        "request": {"images": COUNT, "steps": STEPS, "guidance": GUIDANCE, "sampler": SAMPLER},
        "compiled": compiled,
        "matrix_tflops": round(_matrix_tflops(), 3),
        "goals": GOALS,
        "shapes": [
            _shape(shape, folder, compiled=compiled, lines=lines)
            for shape in shapes
            if only is None or only == shape.name
        ],
    }


def _shape(shape: Any, folder: Path, *, compiled: bool, lines: tuple[int, ...]) -> dict[str, Any]:
    from .synthetic_models import save

    source = save(shape, folder) if shape.make else Path(os.environ.get("MODEL_ID", DEMO))
    _free()
    flops, single, batch, documented_gb = _others(source, shape.side)
    _free()
    worker, denoising, worker_gb = _worker(str(source), shape.side, flops["unet_row"], compiled=compiled, lines=lines)
    ratios = {
        f"c{line}/{name}": round(worker[str(line)]["images_per_s"] / other["images_per_s"], 2)
        for line in lines
        for name, other in (("a", single), ("b", batch))
    }
    share = denoising["tflops"] / max(1e-9, _matrix_tflops())
    return {
        "name": shape.name,
        "side": shape.side,
        "counted_gflop": {name: round(value / 1e9, 2) for name, value in flops.items()},
        "a_one_at_a_time": single,
        "b_four_a_call": batch | {"peak_gb": documented_gb},
        "c_worker": worker,
        "ratios": ratios,
        "ratios_of_cpu_time": {
            f"{name}/c{line}": round(other["cpu_s_per_image"] / worker[str(line)]["cpu_s_per_image"], 2)
            for line in lines
            for name, other in (("a", single), ("b", batch))
        },
        "denoising": denoising | {"share_of_matrix_rate": round(share, 3)},
        "worker_peak_gb": worker_gb,
        "goals_met": {goal: ratios[goal] >= GOALS[goal] for goal in ("c4/a", "c4/b")},
        "start": _start(source, shape.side, compiled=compiled),
    }


# (a) and (b)


def _others(source: Path, side: int) -> tuple[dict[str, float], dict[str, float], dict[str, float], float]:
    """Return counted FLOPs, the rates of (a) and (b), and their peak memory; nothing stays loaded."""
    pipe = _documented(source)

    def one_at_a_time() -> None:
        for _ in range(COUNT):
            _call(pipe, side, 1)

    single = _rate(one_at_a_time)
    batch = _rate(lambda: _call(pipe, side, COUNT))
    return _flops(pipe, side), single, batch, _peak_gb()


def _documented(source: Path) -> Any:
    """The pipeline as diffusers' documentation loads it."""
    import torch
    from diffusers import DiffusionPipeline, LMSDiscreteScheduler

    cuda = torch.cuda.is_available()
    pipe = DiffusionPipeline.from_pretrained(source, dtype=torch.float16 if cuda else torch.float32)
    pipe.set_progress_bar_config(disable=True)
    # diffusers' own scheduler, not the worker's, which caches coefficients.
    pipe.scheduler = LMSDiscreteScheduler.from_config(pipe.scheduler.config)
    return pipe.to("cuda") if cuda else pipe


def _call(pipe: Any, side: int, count: int) -> None:
    from .synthetic_models import PROMPT

    pipe(
        PROMPT,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        width=side,
        height=side,
        num_images_per_prompt=count,
    )


def _rate(request: Callable[[], object], *, least_s: float = 10.0) -> dict[str, float]:
    """Time a request of four images, repeated for a while after one to warm up."""
    request()
    done, began, cpu = 0, time.perf_counter(), time.process_time()
    while done < 2 or time.perf_counter() - began < least_s:
        request()
        done += 1
    return _rates(done * COUNT, time.perf_counter() - began, time.process_time() - cpu)


def _rates(images: int, seconds: float, cpu_seconds: float) -> dict[str, float]:
    """On a shared CPU the processor time an image is the fairer measure."""
    return {
        "images_per_s": round(images / seconds, 3),
        "cpu_s_per_image": round(cpu_seconds / images, 3),
    }


# (c)


def _worker(
    source: str, side: int, unet_row: float, *, compiled: bool, lines: tuple[int, ...]
) -> tuple[dict[str, Any], dict[str, Any], float]:
    """Run the worker with each number of queued requests; return its rates, its denoising, its peak memory."""
    import httpx
    from django.conf import settings

    from discord_api.client import DiscordClient
    from gpu_worker import diffusers_engine, factory
    from gpu_worker.continuous_batching import ContinuousBatchEngine
    from gpu_worker.engine_cache import EngineCache
    from guilds.models import Guild, ModelProfile

    settings.MODEL_ID = source
    ModelProfile.objects.update(sizes=[f"{side}x{side}"])
    guild, _ = Guild.objects.get_or_create(pk=1, defaults={"name": "bench", "concurrency": 64, "max_waiting": 999})

    def discord(request: httpx.Request) -> httpx.Response:
        time.sleep(DISCORD_S)
        return httpx.Response(200, json={"id": "1"})

    client = DiscordClient(
        "https://discord.invalid", application_id=1, bot_token="none", transport=httpx.MockTransport(discord)
    )
    _reset_peak()
    engines = EngineCache(
        lambda name: diffusers_engine.load(name, compiled=compiled),
        free_bytes=diffusers_engine.free_bytes,
        max_engines=1,
    )
    engine = engines.load(source)
    if isinstance(engine, ContinuousBatchEngine):
        engine.wait_until_compiled(1800)
    denoising = _denoising(engine, side, unet_row)
    runner = factory.build_worker(resend_on_release=False, engines=engines, client=client)
    runner.start()
    _line(runner, guild, side, 1)  # warm
    rates = {str(line): _line(runner, guild, side, line) for line in lines}
    peak = _peak_gb()
    runner.stop()
    client.close()
    _free()
    return rates, denoising, peak


def _line(runner: Any, guild: Any, side: int, requests: int) -> dict[str, Any]:
    """Queue the requests, and time them from the first claim to the last completion."""
    from guilds.generation_params import RequestedParams
    from jobs.models import Job
    from jobs.submission import Accepted, JobRequest, submit

    from .synthetic_models import PROMPT

    ids = []
    for number in range(requests):
        accepted = submit(
            JobRequest(
                interaction_id=next(_numbers),
                application_id=1,
                token="benchmark",
                guild_id=guild.pk,
                channel_id=1,
                user_id=number + 1,
                params=RequestedParams(
                    prompt=f"{PROMPT}, number {number}",
                    seed=1000 * number,
                    count=COUNT,
                    steps=STEPS,
                    guidance=GUIDANCE,
                    sampler=SAMPLER,
                    width=side,
                    height=side,
                ),
            ),
            # Long enough ago that the message may be edited at once.
            now=datetime.now(UTC) - timedelta(seconds=10),
        )
        assert isinstance(accepted, Accepted), accepted
        ids.append(accepted.job.pk)
    began, wall, cpu = datetime.now(UTC), time.perf_counter(), time.process_time()
    futures = []
    for job_id in ids:
        # As the consumer does: no more than its free slots.
        while not runner.free_slots:
            time.sleep(0.002)
        futures.append(runner.submit(job_id))
    for future in futures:
        future.result()
    seconds = time.perf_counter() - wall
    jobs = list(Job.objects.filter(pk__in=ids))
    assert {job.status for job in jobs} == {"completed"}, {job.reason for job in jobs}
    waits = sorted((job.ended_at - began).total_seconds() for job in jobs if job.ended_at)
    return {
        "requests": requests,
        "seconds": round(seconds, 3),
        **_rates(requests * COUNT, seconds, time.process_time() - cpu),
        "first_done_s": round(waits[0], 3),
        "mean_done_s": round(mean(waits), 3),
        "last_done_s": round(waits[-1], 3),
    }


_numbers = itertools.count(int(time.time() * 1000))


def _denoising(engine: Any, side: int, unet_row: float) -> dict[str, Any]:
    """Fill the engine's capacity and time its steps alone, without decoding."""
    from gpu_worker.engine import GenerationRequest

    from .synthetic_models import PROMPT

    weight = COUNT * side * side / (512 * 512)
    requests = max(1, round(engine.capacity / weight))
    for _ in range(2):  # the first to warm up
        for number in range(requests):
            engine.admit(
                GenerationRequest(
                    id=number,
                    prompt=PROMPT,
                    seed=number,
                    count=COUNT,
                    steps=STEPS,
                    sampler=SAMPLER,
                    guidance=GUIDANCE,
                    width=side,
                    height=side,
                )
            )
        engine.advance(_ignore)
        _synchronize()
        began = time.perf_counter()
        for _ in range(STEPS - 2):
            engine.advance(_ignore)
        _synchronize()
        seconds = (time.perf_counter() - began) / (STEPS - 2)
        while engine.used_capacity:
            engine.advance(_ignore)
    rows = requests * COUNT * 2
    return {
        "rows": rows,
        "seconds_per_step": round(seconds, 4),
        "tflops": round(rows * unet_row / seconds / 1e12, 3),
    }


def _ignore(event: object) -> None:
    return None


# What the device can do, and what is asked of it


def _flops(pipe: Any, side: int) -> dict[str, float]:
    """Count the floating point operations of a row of the UNet, a text encoding and a decoding."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    unet, vae = pipe.unet, pipe.vae
    latent = side // pipe.vae_scale_factor
    make: dict[str, Any] = {"device": unet.device, "dtype": unet.dtype}
    latents = torch.randn(1, unet.config.in_channels, latent, latent, **make)
    added = None
    if hasattr(pipe, "text_encoder_2"):
        added = {
            "text_embeds": torch.randn(1, pipe.text_encoder_2.config.projection_dim, **make),
            "time_ids": torch.zeros(1, 6, **make),
        }
    states = torch.randn(1, pipe.tokenizer.model_max_length, unet.config.cross_attention_dim, **make)

    def count(run: Callable[[], object]) -> float:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            run()
        return float(counter.get_total_flops())

    ids = torch.zeros(1, pipe.tokenizer.model_max_length, dtype=torch.long, device=unet.device)
    return {
        "unet_row": count(lambda: unet(latents, 500, encoder_hidden_states=states, added_cond_kwargs=added)),
        "text": count(lambda: pipe.text_encoder(ids)),
        "decoding": count(lambda: vae.decode(latents)),
    }


def _matrix_tflops() -> float:
    """Measure the device's rate at multiplying large square matrices, in the worker's dtype."""
    import torch

    cuda = torch.cuda.is_available()
    side, times = (8192, 20) if cuda else (1536, 6)
    make: dict[str, Any] = {"device": "cuda" if cuda else "cpu", "dtype": torch.float16 if cuda else torch.float32}
    a, b = torch.randn(side, side, **make), torch.randn(side, side, **make)
    best = float("inf")
    for _ in range(3):
        _synchronize()
        began = time.perf_counter()
        for _ in range(times):
            a @ b
        _synchronize()
        best = min(best, (time.perf_counter() - began) / times)
    return 2 * side**3 / best / 1e12


def _synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _reset_peak() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak_gb() -> float:
    """Peak memory since the last reset: the card's, or this process's from its start."""
    import torch

    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_reserved() / 1e9, 2)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2)


def _free() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


# From a cold start to an image


def _start(source: Path, side: int, *, compiled: bool) -> dict[str, float]:
    """Start a process that loads the model and makes an image; return its seconds by stage."""
    command = [sys.executable, "-m", "benchmarks.worker", "--first-image", str(source), "--side", str(side)]
    began = time.time()
    done = subprocess.run(
        command + ["--compile"] * compiled,
        env=os.environ | {"SPARKLE_BENCH_BEGAN": str(began)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1800,
        check=True,
    )
    stages: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return stages


def _first_image(source: str, side: int, *, compiled: bool) -> None:
    began = float(os.environ["SPARKLE_BENCH_BEGAN"])
    stages: dict[str, float] = {}

    def stage(name: str) -> None:
        stages[name] = round(time.time() - began - sum(stages.values()), 2)

    from gpu_worker import lazy_packages

    # As gpu_worker.factory does.
    lazy_packages.defer(lazy_packages.UNUSED)
    from gpu_worker import diffusers_engine
    from gpu_worker.continuous_batching import ContinuousBatchEngine
    from gpu_worker.engine import GenerationRequest

    stage("imports")
    engine = diffusers_engine.load(source, compiled=compiled)
    stage("model")
    engine.admit(
        GenerationRequest(
            id=1,
            prompt="a red circle",
            seed=1,
            count=1,
            steps=STEPS,
            sampler=SAMPLER,
            guidance=GUIDANCE,
            width=side,
            height=side,
        )
    )
    while engine.used_capacity:
        engine.advance(_ignore)
    stage("image")
    if compiled and isinstance(engine, ContinuousBatchEngine):
        engine.wait_until_compiled(1800)
        stage("compiled_behind")
    first = sum(seconds for name, seconds in stages.items() if name != "compiled_behind")
    print(json.dumps(stages | {"total": round(first, 2)}))


if __name__ == "__main__":
    sys.exit(main())
