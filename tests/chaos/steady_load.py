"""Callers who ask all the time and hold every answer against the right one, each in a thread."""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import httpx2
import numpy as np

from tests.service.alike import alike

ROWS = np.random.default_rng(21).random((2, 20), dtype=np.float32)
HEADERS = {"Content-Type": "application/octet-stream", "Accept": "application/octet-stream"}


def path(task: str) -> str:
    return f"/v1/predict?task={task}&output=logits"


def logits(client: httpx2.Client, task: str) -> bytes:
    """The answer to `ROWS`, as raw float32."""
    answer = client.post(path(task), content=ROWS.tobytes(), headers=HEADERS)
    assert answer.status_code == 200, answer.text
    return answer.content


def right(found: bytes, expected: bytes) -> bool:
    """Whether they are the same but for what the order of summing explains."""
    ones = (np.frombuffer(one, np.float32) for one in (found, expected))
    return len(found) == len(expected) and alike(*ones)


class SteadyLoad:
    """Asks services in turn while the block runs; `outcomes` counts what came."""

    def __init__(
        self, ports: Sequence[int], expected: Mapping[str, bytes], callers: int = 3
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self.seconds: list[float] = []
        self._ports, self._expected = ports, expected
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,)) for number in range(callers)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def lost(self) -> int:
        """Requests that were not answered, or wrongly."""
        return self.outcomes.total() - self.outcomes["right"]

    def _ask(self, number: int) -> None:
        dice, tasks = random.Random(number), list(self._expected)
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._ports[number % len(self._ports)], timeout=20
        )
        while not self._stop.is_set():
            task, started = dice.choice(tasks), time.perf_counter()
            try:
                connection.request("POST", path(task), ROWS.tobytes(), HEADERS)
                answer = connection.getresponse()
                content = answer.read()
                if answer.status != 200:
                    self.outcomes[f"{answer.status}: {content[:300]!r}"] += 1
                else:
                    good = right(content, self._expected[task])
                    self.outcomes["right" if good else f"wrong: {task}"] += 1
            except (OSError, http.client.HTTPException) as error:
                self.outcomes[repr(error)] += 1
                connection.close()
            self.seconds.append(time.perf_counter() - started)
            time.sleep(0.002)  # the machine has other things to do
        connection.close()
