"""What moderators can do to images, on an image's page and on those chosen in the gallery."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.enums import ActionVariant

from jobs import image_removal, moderation
from jobs.job_status import ENDED
from jobs.models import JobImage
from sparkle_site import discord_client, thumbnails

from . import formatting
from .action_framework import Confirmation, ListAction, Result, RowAction, actor_name

MAX_ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageAction:
    """One operation of jobs.moderation on images, offered for one (`<name>_one`) and for many (`<name>_chosen`)."""

    name: str
    label: str
    label_for_many: str = ""
    icon: str
    question: str
    effect: str
    button: str
    change: Callable[..., int]
    """Takes image ids, `by` and `now`; returns how many it changed."""
    applies_to: Callable[[JobImage], bool]
    done: str
    done_many: str
    """The success text with `{images}`, for example "3 images"."""
    variant: ActionVariant = ActionVariant.DEFAULT

    def on_row(self) -> RowAction:
        def run(request: HttpRequest, image: JobImage, form: Any) -> Result:
            if self.change([image.pk], by=actor_name(request), now=timezone.now()):
                return Result(text=self.done)
            return Result(text="Someone already did this.", level=messages.WARNING)

        return RowAction(
            name=f"{self.name}_one",
            label=self.label,
            icon=self.icon,
            url_path=self.name,
            permission=self.name,
            confirmation=Confirmation(title=self.question, text=self.effect, button=self.button),
            run=run,
            applies_to=self.applies_to,
            variant=self.variant,
        )

    def on_list(self) -> ListAction:
        def run(request: HttpRequest, rows: QuerySet[JobImage]) -> Result:
            ids = list(rows.values_list("pk", flat=True)[:MAX_ROWS])
            changed = self.change(ids, by=actor_name(request), now=timezone.now())
            return Result(text=self.done_many.format(images=formatting.counted(changed, "image")))

        return ListAction(
            name=f"{self.name}_chosen", label=self.label_for_many or self.label, permission="act", run=run
        )


_ACTIONS = (
    ImageAction(
        name="hide",
        label="Hide",
        icon="visibility_off",
        question="Hide this image?",
        effect="Galleries and histories no longer show it, and new requests can't use it. It stays in its message on "
        "Discord: to take it off there too, choose Remove. You can show it again later.",
        button="Hide",
        change=moderation.hide,
        applies_to=lambda image: image.hidden_at is None,
        done="The image is hidden.",
        done_many="Hid {images}.",
        variant=ActionVariant.WARNING,
    ),
    ImageAction(
        name="show",
        label="Show again",
        icon="visibility",
        question="Show this image again?",
        effect="It returns to galleries and histories.",
        button="Show",
        change=moderation.unhide,
        applies_to=lambda image: image.hidden_at is not None,
        done="The image is visible again.",
        done_many="Made {images} visible again.",
    ),
    ImageAction(
        name="blur",
        label="Blur",
        icon="blur_on",
        question="Blur this image?",
        effect="Galleries show it clearly only on hover.",
        button="Blur",
        change=partial(moderation.blur, blurred=True),
        applies_to=lambda image: not image.blurred,
        done="The image is blurred.",
        done_many="Blurred {images}.",
    ),
    ImageAction(
        name="unblur",
        label="Remove blur",
        icon="blur_off",
        question="Remove the blur?",
        effect="Galleries show the image clearly.",
        button="Remove blur",
        change=partial(moderation.blur, blurred=False),
        applies_to=lambda image: image.blurred,
        done="The image is no longer blurred.",
        done_many="Removed the blur from {images}.",
    ),
    ImageAction(
        name="dismiss",
        label="Dismiss report",
        label_for_many="Dismiss reports",
        icon="flag",
        question="Dismiss the report?",
        effect="The image stays visible and leaves the list of reports.",
        button="Dismiss",
        change=moderation.dismiss_reports,
        applies_to=lambda image: image.reported_at is not None,
        done="The report is dismissed.",
        done_many="Dismissed the reports of {images}.",
    ),
)


def removal_message(removed: Sequence[image_removal.Removed]) -> tuple[int, str]:
    """Return the level and the text that tell what was removed, and what is left to do."""
    images = formatting.counted(sum(each.images for each in removed), "image")
    left = sum(not each.on_discord for each in removed)
    if not removed:
        return messages.WARNING, "Nothing was removed: the images are gone already, or their request is still running."
    if left:
        where = formatting.counted(left, "message")
        return messages.WARNING, f"Removed {images} here. On Discord {where} could not be changed: delete it there."
    text = f"Removed {images} from Discord, the storage and the gallery."
    others = sum(each.others for each in removed if each.message_deleted)
    if others:
        text += (
            f" {formatting.counted(others, 'other image').capitalize()} of the same message left Discord too, because "
            "one file showed them all. They stay in the gallery."
        )
    return messages.SUCCESS, text


def remove(request: HttpRequest, image_ids: list[int]) -> Result:
    """Remove the images from Discord, the storage and every list."""
    client, now = discord_client.client(), timezone.now()
    removed = image_removal.remove(image_ids, by=actor_name(request), now=now, client=client)
    thumbnails.forget(image_ids)
    level, text = removal_message(removed)
    return Result(text=text, level=level)


_REMOVE_ONE = RowAction(
    name="remove_one",
    label="Remove",
    icon="delete",
    url_path="remove",
    permission="remove",
    confirmation=Confirmation(
        title="Remove this image?",
        text="Deletes it from Discord, the storage and the gallery, for good. The other images of the request stay.",
        button="Remove",
    ),
    run=lambda request, image, form: remove(request, [image.pk]),
    applies_to=lambda image: image.job.status in ENDED,
    variant=ActionVariant.DANGER,
    back_to="changelist",
)


def _delete_chosen(request: HttpRequest, rows: QuerySet[JobImage]) -> Result:
    job_ids = sorted(set(rows.values_list("job_id", flat=True)[:MAX_ROWS]))
    by, now = actor_name(request), timezone.now()
    deletions = [moderation.delete_everywhere(job_id, by=by, now=now) for job_id in job_ids]
    messages_left = sum(deleted is not None and not deleted.message_gone for deleted in deletions)
    text = f"Deleted the images of {formatting.counted(len(deletions), 'request')}."
    if not messages_left:
        return Result(text=text)
    left = formatting.counted(messages_left, "message")
    return Result(
        text=f"{text} On Discord {left} could not be deleted: delete what is left there.", level=messages.WARNING
    )


def _on_list() -> Iterator[ListAction]:
    for image_action in _ACTIONS:
        yield image_action.on_list()
    yield ListAction(
        name="remove_chosen",
        label="Remove (from Discord, storage and gallery)",
        permission="act",
        run=lambda request, rows: remove(request, list(rows.values_list("pk", flat=True)[:MAX_ROWS])),
    )
    yield ListAction(
        name="delete_chosen",
        label="Delete everywhere (all images of the request)",
        permission="act",
        run=_delete_chosen,
    )


ON_ROW = (*(image_action.on_row() for image_action in _ACTIONS), _REMOVE_ONE)
ON_LIST = tuple(_on_list())
