"""Update cost estimates from measured GPU times."""

from __future__ import annotations

from django.db import connection

from guilds import gpu_time_estimates
from guilds.models import ModelProfile
from jobs.named_queries import load

from .task import TaskRun, upkeep_task


@upkeep_task(budget_s=2)
def learn_speed(work: TaskRun) -> int:
    """Update each model's cost estimate from the GPU times of recent jobs; return how many changed."""
    with connection.cursor() as cursor:
        cursor.execute(load("measured_gpu_times"))
        rows = cursor.fetchall()
    speeds = gpu_time_estimates.speeds(
        gpu_time_estimates.Measured(
            model_id=model_id,
            device=device or "",
            guild_id=guild_id,
            gpu_ms=gpu_ms,
            work=gpu_time_estimates.work_of(kind="txt2img", strength=None, **request),
        )
        for model_id, device, guild_id, gpu_ms, *values in rows
        for request in [dict(zip(("sampler", "steps", "guidance", "width", "height", "count"), values, strict=True))]
    )
    changed = 0
    for model in ModelProfile.objects.filter(pk__in=list(speeds)):
        before = model.learned_gpu_ms_per_step
        after = gpu_time_estimates.learned(before, configured=model.gpu_ms_per_step, speed=speeds[model.pk])
        if before is None or abs(after - before) > 0.02 * before:
            changed += ModelProfile.objects.filter(pk=model.pk).update(learned_gpu_ms_per_step=after)
    return changed
