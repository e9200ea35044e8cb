"""A job in the worker, with real PostgreSQL, real files and the Discord simulator."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connections
from PIL import Image

from devtools.simulator import injected_faults, store
from devtools.simulator.models import SimAttachment, SimChannel, SimEdit, SimUser
from gpu_worker.active_job import Outcome
from gpu_worker.engine import Completed, Engine, EngineBroken, Event, ModelUnavailable
from gpu_worker.noise_engine import NoiseEngine
from guilds.models import Guild, ModelProfile, Usage
from jobs import storage, transitions, upkeep
from jobs.job_status import Status
from jobs.models import Job, JobEvent, JobImage
from jobs.transitions import StoredImage

from . import tiny_models
from .conftest import Place, running

WITHIN_S = 120


def _until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not ready():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def _slow(source: str) -> Engine:
    return NoiseEngine(source, step_s=0.05)


def _used() -> int:
    return sum(Usage.objects.values_list("images", flat=True))


def _stored_image(key: str) -> Image.Image:
    return Image.open(io.BytesIO(storage.fetch(key)))


def test_a_job_becomes_a_message_with_a_grid_and_four_images_in_storage(place: Place) -> None:
    job = place.ask(prompt="a red circle on a blue background")
    with running() as runner:
        assert runner.run([job.pk]) == [Outcome.ENDED]

    job.refresh_from_db()
    assert (job.status, job.delivered_via, job.token) == (Status.COMPLETED, "original", "")
    message = place.original(job)
    assert message.content.startswith("**Completed your Sparkle!**")
    grid = message.attachments.get()
    assert (grid.width, grid.height, grid.description) == (1024, 1024, "a red circle on a blue background")
    assert job.message_id == message.pk

    images = list(JobImage.objects.filter(job=job))
    assert [image.seed for image in images] == [7, 8, 9, 10]
    made = [_stored_image(image.key) for image in images]
    assert {each.size for each in made} == {(512, 512)}
    assert "Seed: 9" in made[2].info["parameters"]
    assert "trainedAlgorithmicMedia" in made[0].info["xmp"].decode()


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
def test_a_real_pipeline_makes_the_same_images_in_a_batch_and_alone(place: Place, settings: Any) -> None:
    from gpu_worker import diffusers_engine

    settings.MODEL_ID = str(tiny_models.folder())
    ModelProfile.objects.update(sizes=[f"{tiny_models.SIZE}x{tiny_models.SIZE}"])
    size = {"width": tiny_models.SIZE, "height": tiny_models.SIZE}
    with running(diffusers_engine.load) as runner:
        first = place.ask(**size, steps=6)
        runner.run([first.pk])
        again = place.ask(**size, steps=6)
        other = place.ask(**size, steps=9, seed=400, sampler="k_euler_a", prompt="a blue square")
        assert runner.run([again.pk, other.pk]) == [Outcome.ENDED, Outcome.ENDED]
    before, after = (
        [_stored_image(key) for key in JobImage.objects.filter(job=job).values_list("key", flat=True)]
        for job in (first, again)
    )
    for left, right in zip(before, after, strict=True):
        assert max(abs(a - b) for a, b in zip(left.tobytes(), right.tobytes(), strict=True)) <= 1
    assert {job.status for job in Job.objects.all()} == {Status.COMPLETED}


class _Truncating(NoiseEngine):
    """Reports seven truncated tokens."""

    def advance(self, emit: Callable[[Event], None]) -> None:
        super().advance(
            lambda event: emit(replace(event, truncated_tokens=7) if isinstance(event, Completed) else event)
        )


def test_truncated_tokens_are_reported_with_the_images_also_by_the_next_worker(place: Place) -> None:
    job, whole = place.ask(count=1, locale="de"), place.ask(count=1)
    injected_faults.plan(injected_faults.Kind.SERVER_ERROR, times=1000)
    with running(_Truncating, retry_waits_s=(60,)) as runner:
        future = runner.submit(job.pk)
        _until(lambda: Job.objects.filter(pk=job.pk, images_stored_at__isnull=False).exists())
        runner.stop()
        assert future.result(WITHIN_S) is Outcome.RELEASED
    injected_faults.clear()
    with running(name="worker-2") as runner:
        assert runner.run([job.pk, whole.pk]) == [Outcome.ENDED, Outcome.ENDED]
    posted = place.original(job).content
    assert "Ignorierte Tokens" in posted
    assert ": 7." in posted
    assert "Tokens" not in place.original(whole).content
    assert JobEvent.objects.filter(job=job, kind="truncated_tokens").count() == 1


class _Watched(NoiseEngine):
    """Waits until the message shows a step, and half way until it shows the preview."""

    def advance(self, emit: Callable[[Event], None]) -> None:
        for request, done in self._inside.values():
            if done == 3:
                _until(lambda total=request.steps: SimEdit.objects.filter(content__contains=f"of {total}").exists())
            if done == request.steps // 2:
                _until(lambda: SimEdit.objects.filter(attachments=["preview.webp"]).exists())
        super().advance(emit)


def test_the_requester_sees_steps_and_a_preview_and_the_end_comes_last(place: Place) -> None:
    Guild.objects.update(previews=True)
    job = place.ask(steps=16)
    with running(_Watched) as runner:
        assert runner.run([job.pk]) == [Outcome.ENDED]
    edits = list(SimEdit.objects.filter(message=place.original(job)))
    steps = [edit.content for edit in edits if "Processing your Sparkle" in edit.content]
    assert any("of 16" in content for content in steps)
    assert ["preview.webp"] in [edit.attachments for edit in edits]
    assert "Completed your Sparkle" in edits[-1].content
    assert edits[-1].attachments == [f"sparkle-{job.pk}.png"]


def test_cancelling_stops_a_running_job_posts_that_and_refunds(place: Place) -> None:
    job = place.ask(steps=50)
    assert _used() > 0
    with running(lambda source: NoiseEngine(source, step_s=0.2)) as runner:
        future = runner.submit(job.pk)
        _until(lambda: Job.objects.filter(pk=job.pk, progress_step__gt=0).exists())
        transitions.cancel(job.pk, by=42, now=datetime.now(UTC))
        assert future.result(WITHIN_S) is Outcome.ENDED
    job.refresh_from_db()
    assert (job.status, job.reason) == (Status.CANCELLED, "cancelled_by_member")
    assert "cancelled" in place.original(job).content
    assert not JobImage.objects.exists()
    assert _used() == 0
    assert job.gpu_ms > 0, "the steps that were done are charged"


def test_a_missing_model_fails_the_job_with_its_reason_and_a_refund(place: Place) -> None:
    def missing(source: str) -> Engine:
        raise ModelUnavailable(f"{source} holds no pipeline")

    job = place.ask()
    with running(missing) as runner:
        assert runner.run([job.pk]) == [Outcome.ENDED]
    job.refresh_from_db()
    assert (job.status, job.reason) == (Status.FAILED, "model_unavailable")
    assert "model couldn't be loaded" in place.original(job).content
    assert _used() == 0


def test_storage_that_stays_unavailable_uses_up_the_attempts_and_fails_the_job(place: Place, settings: Any) -> None:
    blocker = settings.STORAGES["default"]["OPTIONS"]["location"]
    with open(blocker, "w"):  # a file instead of the folder
        pass
    job = place.ask()
    with running(retry_waits_s=(0.01,)) as runner:
        assert runner.run([job.pk]) == [Outcome.REQUEUED]
        assert runner.run([job.pk]) == [Outcome.REQUEUED]
        assert runner.run([job.pk]) == [Outcome.ENDED]
    job.refresh_from_db()
    assert (job.status, job.reason, job.attempts) == (Status.FAILED, "storage_unavailable", 3)
    assert _used() == 0


def test_stored_images_are_only_delivered_when_the_job_is_claimed_again(place: Place) -> None:
    def no_engine(source: str) -> Engine:
        raise AssertionError("no image may be generated")

    job = place.ask(count=1)
    assert transitions.claim(job.pk, worker_id="a lost worker", now=datetime.now(UTC))
    out = io.BytesIO()
    Image.new("RGB", (512, 512), "red").save(out, "PNG")
    key = storage.image_key(place.guild.pk, job.pk, 0)
    storage.store(key, out.getvalue())
    image = StoredImage(index=0, key=key, seed=7, width=512, height=512, bytes=len(out.getvalue()))
    transitions.record_images(
        job.pk, worker_id="a lost worker", images=[image], grid_key=key, gpu_ms=5, now=datetime.now(UTC)
    )
    transitions.release(job.pk, worker_id="a lost worker", now=datetime.now(UTC))
    with running(no_engine) as runner:
        assert runner.run([job.pk]) == [Outcome.ENDED]
    job.refresh_from_db()
    assert (job.status, job.gpu_ms) == (Status.COMPLETED, 5)
    assert bytes(place.original(job).attachments.get().content) == out.getvalue()


def test_a_short_discord_outage_only_costs_time(place: Place) -> None:
    job = place.ask()
    injected_faults.plan(injected_faults.Kind.SERVER_ERROR, times=6)
    injected_faults.plan(injected_faults.Kind.RATE_LIMITED, times=2, seconds=0.1)
    with running(retry_waits_s=(0.1, 0.1, 0.1)) as runner:
        assert runner.run([job.pk]) == [Outcome.ENDED]
    job.refresh_from_db()
    assert (job.status, job.delivered_via, job.attempts) == (Status.COMPLETED, "original", 1)
    assert len(place.original(job).attachments.all()) == 1


def test_a_lost_response_posts_no_second_image(place: Place) -> None:
    job = place.ask(token_age_s=20 * 60)
    injected_faults.plan(injected_faults.Kind.LOST_ANSWER, path="/channels/", times=1)
    with running(retry_waits_s=(0.1, 0.1)) as runner:
        assert runner.run([job.pk]) == [Outcome.ENDED]
    assert len(place.others()) == 1


def test_past_the_deadline_the_bot_posts_in_the_channel_and_mentions_only_the_requester(place: Place) -> None:
    job = place.ask(token_age_s=20 * 60, prompt="@everyone look at <@1>")
    with running() as runner:
        runner.run([job.pk])
    (post,) = place.others()
    assert post.channel == place.channel
    assert post.pinged_user_ids == [place.user.pk]
    assert not post.pinged_everyone
    assert post.attachments.count() == 1
    assert place.original(job).content == "Submitted to Sparkle"
    assert Job.objects.get(pk=job.pk).delivered_via == "channel"


def test_a_token_that_expires_early_leads_to_the_same_post(place: Place) -> None:
    job = place.ask()
    injected_faults.plan(injected_faults.Kind.UNKNOWN_WEBHOOK, path="/webhooks/", times=50)
    with running() as runner:
        runner.run([job.pk])
    assert [post.channel for post in place.others()] == [place.channel]
    assert Job.objects.get(pk=job.pk).delivered_via == "channel"


def test_a_processing_reply_is_deleted_when_the_bot_has_to_post(place: Place) -> None:
    job = place.ask()
    reply = place.original(job)
    Job.objects.filter(pk=job.pk).update(message_id=reply.pk)  # saved by an edit before the token expired
    injected_faults.plan(injected_faults.Kind.UNKNOWN_WEBHOOK, path="/webhooks/", times=50)
    with running() as runner:
        runner.run([job.pk])
    reply.refresh_from_db()
    assert reply.deleted_at is not None
    (post,) = place.others()
    assert Job.objects.get(pk=job.pk).message_id == post.pk


def test_a_reply_whose_last_edit_was_not_confirmed_before_its_token_expired_is_deleted(place: Place) -> None:
    job = place.ask()
    # Discord makes the edits, but their responses are lost.
    injected_faults.plan(injected_faults.Kind.LOST_ANSWER, method="PATCH", path="/webhooks/", times=4)
    injected_faults.plan(injected_faults.Kind.UNKNOWN_WEBHOOK, path="/webhooks/", method="PATCH", times=50)
    with running(retry_waits_s=(0.1,)) as runner:
        assert runner.run([job.pk]) == [Outcome.ENDED]
    reply = place.original(job)
    assert "Completed your Sparkle" in reply.content
    assert reply.deleted_at is not None
    (post,) = place.others()
    assert Job.objects.get(pk=job.pk).message_id == post.pk


def test_the_reply_to_a_request_that_outlived_its_token_is_deleted(place: Place) -> None:
    job = place.ask(token_age_s=14 * 60)
    upkeep.run(now=datetime.now(UTC))
    Job.objects.filter(pk=job.pk).update(reply_deadline=datetime.now(UTC))
    with running() as runner:
        runner.run([job.pk])
    assert place.original(job).deleted_at is not None
    (post,) = place.others()
    assert Job.objects.get(pk=job.pk).message_id == post.pk


def test_an_edit_saves_the_id_of_the_reply(place: Place) -> None:
    job = place.ask()
    with running(lambda source: NoiseEngine(source, step_s=0.2)) as runner:
        runner.run([job.pk])
    assert Job.objects.get(pk=job.pk).message_id == place.original(job).pk


def test_where_it_may_not_post_it_sends_a_direct_message(place: Place) -> None:
    job = place.ask(token_age_s=20 * 60)
    SimChannel.objects.filter(pk=place.channel.pk).update(bot_permissions=0)
    with running() as runner:
        runner.run([job.pk])
    (post,) = place.others()
    assert post.channel.recipient == place.user
    assert Job.objects.get(pk=job.pk).delivered_via == "dm"


def test_without_direct_messages_the_images_are_in_the_gallery(place: Place) -> None:
    job = place.ask(token_age_s=20 * 60)
    SimChannel.objects.filter(pk=place.channel.pk).update(bot_permissions=0)
    SimUser.objects.filter(pk=place.user.pk).update(accepts_dms=False)
    with running() as runner:
        runner.run([job.pk])
    job.refresh_from_db()
    assert (job.status, job.delivered_via, job.message_id) == (Status.COMPLETED, "gallery", None)
    assert place.others() == []
    assert JobImage.objects.filter(job=job).count() == 4


def test_a_private_result_is_never_posted_in_the_channel(place: Place) -> None:
    Guild.objects.update(results_ephemeral=True)
    job = place.ask(token_age_s=20 * 60)
    with running() as runner:
        runner.run([job.pk])
    (post,) = place.others()
    assert post.channel.recipient == place.user


class _Grain(NoiseEngine):
    """Makes images that compress as badly as photographs."""

    def advance(self, emit: Callable[[Event], None]) -> None:
        def grainy(event: Event) -> None:
            emit(replace(event, images=tuple(map(_grain, event.images))) if isinstance(event, Completed) else event)

        super().advance(grainy)


def _grain(image: Image.Image) -> Image.Image:
    return Image.merge("RGB", [Image.effect_noise(image.size, 60) for _ in range(3)])


@pytest.mark.parametrize(("limit", "suffix"), [(10_000_000, "png"), (2_000_000, "webp"), (200_000, "jpg")])
def test_the_upload_uses_the_largest_encoding_that_fits(place: Place, limit: int, suffix: str) -> None:
    job = place.ask(attachment_size_limit=limit)
    with running(_Grain) as runner:
        runner.run([job.pk])
    grid = place.original(job).attachments.get()
    assert grid.size <= limit
    assert grid.filename.endswith(suffix)


def test_a_grid_that_fits_in_no_encoding_becomes_a_link(place: Place, settings: Any) -> None:
    job = place.ask(attachment_size_limit=100)
    with running() as runner:
        runner.run([job.pk])
    message = place.original(job)
    assert not message.attachments.exists()
    assert f"{settings.SITE_URL}/gallery/" in str(message.components)
    assert Job.objects.get(pk=job.pk).status == Status.COMPLETED


def test_a_refusal_of_the_size_by_discord_leads_to_a_smaller_encoding(place: Place) -> None:
    job = place.ask()
    with running(_Grain, interval_s=60) as runner:
        future = runner.submit(job.pk)
        _until(lambda: SimEdit.objects.filter(content__contains="Processing").exists())
        injected_faults.plan(injected_faults.Kind.TOO_LARGE, times=1)
        future.result(WITHIN_S)
    assert place.original(job).attachments.get().filename == f"sparkle-{job.pk}.webp"


def test_an_image_can_be_varied_and_upscaled(place: Place) -> None:
    first = place.ask()
    with running() as runner:
        runner.run([first.pk])
        vary = place.ask(kind="variation", source_job_id=first.pk, source_index=2, seed=90)
        large = place.ask(
            kind="upscale", source_job_id=first.pk, source_index=1, count=1, width=1024, height=1024, seed=8
        )
        assert runner.run([vary.pk, large.pk]) == [Outcome.ENDED, Outcome.ENDED]
    assert [image.seed for image in JobImage.objects.filter(job=vary)] == [90, 91, 92, 93]
    (image,) = JobImage.objects.filter(job=large)
    assert (image.width, image.height) == (1024, 1024)


def _attach(content: bytes) -> str:
    file = SimAttachment.objects.create(
        pk=5_000_000_000, filename="dog.png", content_type="image/png", size=len(content), content=content
    )
    return str(store.attachment_json(file, now=datetime.now(UTC))["url"])


def test_an_attached_image_is_the_source_of_image_to_image(place: Place) -> None:
    out = io.BytesIO()
    Image.new("RGB", (300, 900), "green").save(out, "PNG")
    job = place.ask(kind="img2img", source_url=_attach(out.getvalue()), strength=0.5)
    with running() as runner:
        assert runner.run([job.pk]) == [Outcome.ENDED]
    assert Job.objects.get(pk=job.pk).status == Status.COMPLETED


def test_an_attachment_that_is_no_image_fails_with_its_reason(place: Place) -> None:
    job = place.ask(kind="img2img", source_url=_attach(b"<html>not an image"))
    with running() as runner:
        assert runner.run([job.pk]) == [Outcome.ENDED]
    job.refresh_from_db()
    assert (job.status, job.reason) == (Status.FAILED, "source_unreadable")
    assert "couldn't be read" in place.original(job).content


class _PreviewChecker:
    """Rejects previews only, which are smaller than finished images."""

    def scores(self, images: Sequence[Image.Image]) -> tuple[float, ...]:
        return tuple(0.99 if max(image.size) < 512 else 0.01 for image in images)


@pytest.mark.parametrize(
    ("rule", "spoiler", "checker", "shown"),
    [
        ("off", False, None, "preview.webp"),
        ("off", True, None, "SPOILER_preview.webp"),
        ("blur", False, _PreviewChecker(), "SPOILER_preview.webp"),
        ("blur", False, None, "SPOILER_preview.webp"),
        ("block", False, _PreviewChecker(), None),
        ("block", False, None, None),
    ],
)
def test_a_preview_follows_the_rules_of_finished_images(
    place: Place, rule: str, spoiler: bool, checker: Any, shown: str | None
) -> None:
    Guild.objects.update(previews=True, output_check=rule)
    job = place.ask(steps=12)
    Job.objects.filter(pk=job.pk).update(spoiler=spoiler)
    with running(lambda source: NoiseEngine(source, step_s=0.3), checker=checker, interval_s=0.1) as runner:
        runner.run([job.pk])
    edits = SimEdit.objects.filter(message=place.original(job), content__contains="Processing")
    names = {name for edit in edits for name in edit.attachments}
    assert names == ({shown} if shown else set())


class _Checker:
    """Rejects the images at some indices."""

    def __init__(self, *bad: int) -> None:
        self._bad = bad

    def scores(self, images: Sequence[Image.Image]) -> tuple[float, ...]:
        return tuple(0.99 if index in self._bad else 0.01 for index in range(len(images)))


def test_the_output_check_blurs_unsafe_images(place: Place) -> None:
    Guild.objects.update(output_check="blur")
    job = place.ask()
    with running(checker=_Checker(1)) as runner:
        runner.run([job.pk])
    assert place.original(job).attachments.get().spoiler
    assert [image.blurred for image in JobImage.objects.filter(job=job)] == [False, True, False, False]


def test_the_output_check_blocks_unsafe_images_and_does_not_store_them(place: Place) -> None:
    Guild.objects.update(output_check="block")
    some, every = place.ask(), place.ask()
    with running(checker=_Checker(3)) as runner:
        runner.run([some.pk])
    with running(checker=_Checker(0, 1, 2, 3), name="worker-2") as runner:
        runner.run([every.pk])
    assert [image.index for image in JobImage.objects.filter(job=some)] == [0, 1, 2]
    every.refresh_from_db()
    assert (every.status, every.reason) == (Status.FAILED, "output_blocked")
    assert every.gpu_ms > 0, "its images were made"
    assert not JobImage.objects.filter(job=every).exists()


def test_a_guild_that_blocks_gets_no_image_where_no_checker_is_installed(place: Place) -> None:
    Guild.objects.update(output_check="block")
    job = place.ask()
    with running() as runner:
        runner.run([job.pk])
    assert Job.objects.get(pk=job.pk).status == Status.FAILED
    assert not place.original(job).attachments.exists()


def test_shutdown_releases_every_job_uncounted_and_soon(place: Place) -> None:
    jobs = [place.ask(steps=50) for _ in range(3)]
    with running(lambda source: NoiseEngine(source, step_s=0.5)) as runner:
        futures = [runner.submit(job.pk) for job in jobs]
        _until(lambda: Job.objects.filter(progress_step__gt=0).exists())
        runner.stop(within_s=8)
        assert {future.result(WITHIN_S) for future in futures} == {Outcome.RELEASED}
        assert runner.submit(jobs[0].pk).result(WITHIN_S) is Outcome.RELEASED
    for job in Job.objects.all():
        assert (job.status, job.attempts, job.worker_id) == (Status.QUEUED, 0, "")
    with running(name="worker-2") as runner:
        assert set(runner.run([job.pk for job in jobs])) == {Outcome.ENDED}


def test_a_job_that_two_threads_release_is_released(place: Place) -> None:
    """The second thread finds a row that is not this worker's, which does not mean that the job has ended."""
    jobs = [place.ask(steps=50) for _ in range(6)]
    with running(lambda source: NoiseEngine(source, step_s=0.1)) as runner:

        def stop() -> None:
            runner.stop()
            connections.close_all()

        futures = [runner.submit(job.pk) for job in jobs]
        leavers = [threading.Thread(target=stop) for _ in range(4)]
        for leaver in leavers:
            leaver.start()
        for leaver in leavers:
            leaver.join()
        assert [future.result(WITHIN_S) for future in futures] == [Outcome.RELEASED] * len(jobs)
    assert {(job.status, job.attempts) for job in Job.objects.all()} == {(Status.QUEUED, 0)}


class _Breaks(NoiseEngine):
    """Raises the error at the third step."""

    def __init__(self, error: Exception) -> None:
        super().__init__(step_s=0.01)
        self._error = error
        self._steps = 0

    def advance(self, emit: Callable[[Event], None]) -> None:
        self._steps += 1
        if self._steps == 3:
            raise self._error
        super().advance(emit)


def test_a_broken_gpu_counts_the_attempts_inside_and_sets_a_fatal_error(place: Place) -> None:
    job = place.ask(steps=20)
    with running(lambda source: _Breaks(EngineBroken("CUDA error"))) as runner:
        future = runner.submit(job.pk)
        assert runner.fatal_error.wait(WITHIN_S)
        runner.stop()
        assert future.result(WITHIN_S) is Outcome.REQUEUED
    job.refresh_from_db()
    assert (job.status, job.attempts) == (Status.QUEUED, 1)


def test_an_error_in_the_engine_costs_an_attempt_and_the_next_one_succeeds(place: Place) -> None:
    engines: list[Engine] = [NoiseEngine(), _Breaks(ValueError("a fault"))]
    job = place.ask(steps=20)
    with running(lambda source: engines.pop()) as runner:
        assert runner.run([job.pk]) == [Outcome.REQUEUED]
        assert runner.run([job.pk]) == [Outcome.ENDED]
    job.refresh_from_db()
    assert (job.status, job.attempts) == (Status.COMPLETED, 2)


def test_a_job_whose_lease_was_lost_is_dropped_without_a_message(place: Place) -> None:
    job = place.ask(steps=50)
    with running(_slow) as runner:
        future = runner.submit(job.pk)
        _until(lambda: Job.objects.filter(pk=job.pk, progress_step__gt=0).exists())
        Job.objects.filter(pk=job.pk).update(worker_id="someone-else")
        assert future.result(WITHIN_S) is Outcome.NOT_OURS
    job.refresh_from_db()
    assert (job.status, job.worker_id) == (Status.RUNNING, "someone-else")


def test_a_message_delivered_twice_runs_one_job(place: Place) -> None:
    job = place.ask(steps=20)
    with running(_slow) as runner, running(name="worker-2") as other:
        first, again = runner.submit(job.pk), runner.submit(job.pk)
        assert other.run([job.pk]) == [Outcome.NOT_OURS]
        assert first.result(WITHIN_S) is again.result(WITHIN_S) is Outcome.ENDED
        assert runner.run([job.pk]) == [Outcome.NOT_OURS]
    kinds = list(JobEvent.objects.filter(job=job).values_list("kind", flat=True))
    assert kinds.count("completed") == kinds.count("made") == 1


def test_two_models_share_one_gpu(place: Place) -> None:
    loaded: list[str] = []

    def load(source: str) -> Engine:
        loaded.append(source)
        return NoiseEngine(source, step_s=0.005)

    for slug in ("ink", "oil"):
        ModelProfile.objects.create(slug=slug, name=slug, source=f"models/{slug}", sizes=["512x512"])
    with running(load) as runner:
        for slug in ("standard", "ink", "standard", "oil", "ink"):
            assert runner.run([place.ask(model=slug).pk]) == [Outcome.ENDED]
    # Two fit at once: "standard" was the least recently used when "oil" came, so "ink" is still loaded.
    assert [source.rsplit("/")[-1] for source in loaded][1:] == ["ink", "oil", "ink"]
