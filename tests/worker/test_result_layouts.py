"""How a server's choice of layout changes what is posted: attachments or a gallery in place of one grid."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from PIL import Image

from devtools.simulator import component_rules, message_rules
from gpu_worker.active_job import Outcome
from gpu_worker.image_encoding import encode_png
from guilds.models import Guild
from jobs import storage, transitions
from jobs.models import Job
from jobs.transitions import StoredImage

from .conftest import Place, running
from .test_job_runner import _Grain

ATTACHMENTS, GALLERY = Guild.ResultLayout.ATTACHMENTS, Guild.ResultLayout.GALLERY


def ask(place: Place, layout: str, **fields: Any) -> Job:
    Guild.objects.filter(pk=place.guild.pk).update(result_layout=layout)
    return place.ask(**fields)


def test_attachments_are_single_images_with_their_numbers(place: Place) -> None:
    job = ask(place, ATTACHMENTS)
    with running() as runner:
        assert runner.run([job.pk]) == [Outcome.ENDED]
    message = place.original(job)
    files = list(message.attachments.order_by("pk"))
    assert [file.filename for file in files] == [f"sparkle-{job.pk}-{number}.png" for number in (1, 2, 3, 4)]
    assert {(file.width, file.height) for file in files} == {(512, 512)}
    assert not message.flags & message_rules.COMPONENTS_V2
    assert message.embeds[0]["footer"]["text"].endswith(f"#{job.pk}")


def test_a_gallery_is_posted_again_in_the_channel_with_a_mention_once_the_token_has_expired(place: Place) -> None:
    job = ask(place, GALLERY, token_age_s=20 * 60)
    with running() as runner:
        runner.run([job.pk])
    (post,) = place.others()
    assert post.flags & message_rules.COMPONENTS_V2
    assert post.pinged_user_ids == [place.user.pk]
    heading, details = component_rules.texts(post.components)
    assert heading.startswith(f"<@{place.user.pk}> **Completed your Sparkle!**")
    assert "a red circle" in details
    assert len(list(component_rules.media_urls(post.components))) == 4


def test_another_worker_posts_the_stored_images_of_a_lost_one_as_the_same_gallery(place: Place) -> None:
    job = ask(place, GALLERY, count=2)
    assert transitions.claim(job.pk, worker_id="a lost worker", now=datetime.now(UTC))
    png = encode_png(Image.new("RGB", (64, 64), "red"), "Seed: 7")
    keys = [storage.image_key(place.guild.pk, job.pk, index) for index in range(2)]
    for key in keys:
        storage.store(key, png)
    images = [
        StoredImage(index=index, key=key, seed=7 + index, width=64, height=64, bytes=len(png), blurred=index == 1)
        for index, key in enumerate(keys)
    ]
    now = datetime.now(UTC)
    transitions.record_images(job.pk, worker_id="a lost worker", images=images, grid_key="", gpu_ms=5, now=now)
    transitions.release(job.pk, worker_id="a lost worker", now=now)
    with running() as runner:
        assert runner.run([job.pk]) == [Outcome.ENDED]
    gallery = place.original(job).components[1]
    assert [item.get("spoiler", False) for item in gallery["items"]] == [False, True]


def test_each_file_is_within_the_limit_that_the_interaction_named(place: Place) -> None:
    job = ask(place, ATTACHMENTS, attachment_size_limit=100_000)
    with running(_Grain) as runner:
        runner.run([job.pk])
    sizes = [file.size for file in place.original(job).attachments.all()]
    assert len(sizes) == 4
    assert max(sizes) <= 100_000
