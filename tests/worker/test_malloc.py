"""Memory of a busy minute is returned. Measured in a separate process: the C library's settings are global."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Eight threads allocate and free images with small objects in between, as the worker's threads do.
BUSY = """
import random, threading
from gpu_worker import malloc
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4 // 1024
def work(number):
    chance, kept = random.Random(number), []
    for _ in range(1500):
        kept.append(bytearray(chance.randint(300_000, 4_000_000)))
        small = [bytearray(chance.randint(50, 5000)) for _ in range(50)]
        if len(kept) > 6:
            kept.pop(chance.randrange(6))
taken = {take}
before = resident()
threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(taken, resident() - before)
"""


def _kept_mib(take: str) -> tuple[str, int]:
    command = [sys.executable, "-c", BUSY.replace("{take}", take)]
    taken, kept = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return taken, int(kept)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's /proc tells what is resident.")
@pytest.mark.processes
def test_memory_of_images_is_returned_when_they_are_freed() -> None:
    taken, kept = _kept_mib("malloc.configure_malloc()")
    if taken != "True":
        pytest.skip("The C library is not glibc.")
    assert kept < 12
    assert kept < _kept_mib("False")[1] / 2
