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


def test_queues_that_are_bound_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    options = {"control_folder": str(tmp_path / "control")}
    names = [f"queue-{number}" for number in range(8)]
    for round_number in range(20):
        together = threading.Barrier(len(names))
        with Connection(f"{folder_broker.SCHEME}://", transport_options=options) as connection:
            channels = [connection.channel() for _ in names]
            exchange = f"exchange-{round_number}"

            def bind(channel: Any, name: str, exchange: str, together: threading.Barrier) -> None:
                together.wait(30)
                channel._queue_bind(exchange, name, "", name)

            threads = [
                threading.Thread(target=bind, args=(channel, name, exchange, together))
                for channel, name in zip(channels, names, strict=True)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            assert sorted(bound.queue for bound in channels[0].get_table(exchange)) == names
