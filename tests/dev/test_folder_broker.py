"""Celery's broker of the development machine loses no message."""

from __future__ import annotations

import threading
from pathlib import Path
from queue import Empty
from typing import Any

from kombu import Connection

from devtools import folder_broker

MESSAGES = 600


def test_a_consumer_reads_every_message_whole_while_others_are_written(tmp_path: Path) -> None:
    (tmp_path / "messages").mkdir()
    options = {
        "data_folder_in": str(tmp_path / "messages"),
        "data_folder_out": str(tmp_path / "messages"),
        "control_folder": str(tmp_path / "control"),
    }
    taken: list[int] = []
    errors: list[Exception] = []
    written = threading.Event()

    def take_all(channel: Any) -> None:
        while True:
            last = written.is_set()
            try:
                taken.append(channel._get("jobs")["number"])
            except Empty:
                if last:
                    return
            except Exception as error:
                errors.append(error)

    with Connection(f"{folder_broker.SCHEME}://", transport_options=options) as connection:
        consumer = threading.Thread(target=take_all, args=(connection.channel(),))
        consumer.start()
        producer = connection.channel()
        for number in range(MESSAGES):
            producer._put("jobs", {"number": number, "body": "x" * 200})
        written.set()
        consumer.join(60)
    assert errors == []
    assert sorted(taken) == list(range(MESSAGES))
    assert list((tmp_path / "messages").iterdir()) == []
