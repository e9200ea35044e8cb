"""Celery instead of SQS and EventBridge: messages are files under .local, beat is the scheduler."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

from . import folder_broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkle_site.settings.local")

FOLDER = settings.LOCAL_DIR / "celery"
MESSAGES = FOLDER / "messages"
MESSAGES.mkdir(parents=True, exist_ok=True)

app = Celery("sparkle", broker=f"{folder_broker.SCHEME}://localhost", include=["devtools.celery_tasks"])
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(MESSAGES),
        "data_folder_out": str(MESSAGES),
        "control_folder": str(FOLDER / "control"),
        "polling_interval": 0.2,  # seconds
    },
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    task_default_queue="sparkle",
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=1,
    beat_schedule={"upkeep": {"task": "devtools.celery_tasks.upkeep", "schedule": 60.0}},
    beat_schedule_filename=str(FOLDER / "beat"),
    timezone="UTC",
)


@setup_logging.connect
def _leave_logging_alone(**_: Any) -> None:
    """Django's LOGGING writes one JSON event a line; with a receiver here Celery does not set up its own."""
