from collections.abc import Iterator

import pytest

from .emulator import Queue, emulator


@pytest.fixture(scope="module")
def sqs_emulator() -> Iterator[Queue]:
    with emulator() as queue:
        yield queue


@pytest.fixture
def queue(sqs_emulator: Queue) -> Queue:
    """An empty queue."""
    sqs_emulator.sqs.purge_queue(QueueUrl=sqs_emulator.url)
    return sqs_emulator
