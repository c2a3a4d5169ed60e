"""In processes of their own: what is set cannot be taken back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LARGE_AGAIN_AND_AGAIN = """
import threading
from resource import RUSAGE_SELF, getrusage
import torch
from service.engine.freed_memory import keep_freed_memory

keep_freed_memory()
given = []

def compute():
    for _ in range(50):
        before = getrusage(RUSAGE_SELF).ru_minflt
        layers = [torch.zeros(1 << 20) for _ in range(4)]
        given.append(getrusage(RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=compute)
thread.start()
thread.join()
print(sum(given[20:]))
"""
PAGES_EACH_TIME = 4 * (4 << 20) // 4096


def pages_given_again(**environment: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", LARGE_AGAIN_AND_AGAIN],
        cwd=Path(__file__).parents[3],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc alone")
def test_memory_that_was_freed_is_not_asked_of_the_system_again() -> None:
    assert pages_given_again() < PAGES_EACH_TIME
    # Whoever sets it otherwise has it so.
    assert pages_given_again(MALLOC_TRIM_THRESHOLD_="131072") > 10 * PAGES_EACH_TIME
