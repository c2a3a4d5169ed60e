"""Callers of a service whose tasks come, change and go: those who do it, and one who only asks."""

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np

from benchmarks.random_tasks import IMAGES, task_name

BACKBONE = "lenet-300-100"
STEADY = "steady"
"""A task that stays as it is."""
TASKS = 2_000
"""Names that tasks are uploaded under."""
LIVE = 1_090
"""So many of them are live in the long run: twelve are uploaded where ten are deleted."""

_OCTETS = "Content-Type: application/octet-stream"


class SteadyCaller:
    """Asks for a task that nobody else touches."""

    def __init__(self, port: int, row: bytes) -> None:
        self._port = port
        self._request = _request("POST", f"/v1/predict?task={STEADY}", row)
        self._latencies: list[float] = []

    async def work(self, until: float) -> None:
        """Ask fifty times a second at most."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while time.monotonic() < until:
            started = time.perf_counter()
            writer.write(self._request)
            if (status := await _status(reader)) != "200":
                raise ValueError(f"expected 200 of {STEADY}, got {status}")
            self._latencies.append(time.perf_counter() - started)
            await asyncio.sleep(0.02)
        writer.close()

    def slow_ms(self) -> float:
        """Of the answers since it was last asked; not a number where there was none."""
        latencies, self._latencies = self._latencies, []
        return 1000 * float(np.quantile(latencies, 0.99)) if latencies else math.nan


class Caller:
    """One connection at a time, and one request on it."""

    def __init__(self, port: int, artifacts: Sequence[bytes], seed: int) -> None:
        self._port, self._artifacts = port, artifacts
        self._random = random.Random(seed)  # noqa: S311 - it chooses what to ask
        self._row = np.random.default_rng(seed).random(IMAGES[BACKBONE].row_length, np.float32)
        self.answers: Counter[str] = Counter()

    async def work(self, until: float) -> None:
        """Ask one thing after another."""
        while time.monotonic() < until:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                for _ in range(self._random.randint(1, 50)):
                    what, request = self._next()
                    writer.write(request)
                    await writer.drain()
                    if self._random.random() < 0.05:  # leaves without waiting for the answer
                        self.answers[f"{what}, left"] += 1
                        break
                    self.answers[f"{what}, {await _status(reader)}"] += 1
            finally:
                writer.close()

    def _next(self) -> tuple[str, bytes]:
        task, chance = task_name(self._random.randrange(TASKS)), self._random.random()
        if chance < 0.75:
            path = f"/v1/predict?task={task}"
            return "predict", _request("POST", path, self._row.astype("<f4").tobytes())
        if chance < 0.76:
            return "predict without a task", _request("POST", "/v1/predict", self._row.tobytes())
        if chance < 0.88:
            artifact = self._random.choice(self._artifacts)
            return "upload", _request("PUT", f"/v1/tasks/{task}", artifact)
        if chance < 0.90:
            damaged = self._random.choice(self._artifacts)[:-7]
            return "damaged upload", _request("PUT", f"/v1/tasks/{task}", damaged)
        return "delete", _request("DELETE", f"/v1/tasks/{task}", b"")


def _request(method: str, path: str, body: bytes) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{_OCTETS}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _status(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"\ncontent-length:")[2].partition(b"\r")[0]
    await reader.readexactly(int(length or 0))
    return head.split(b" ", 2)[1].decode()
