import pytest

from .emulator import Queue, make_queue


@pytest.fixture
def queue(sqs_environment: dict[str, str]) -> Queue:
    """An empty queue."""
    return make_queue(sqs_environment)
