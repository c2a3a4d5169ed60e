"""Requests for a bounded time, and how long they took. Knows nothing of what is asked."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np

from client.errors import ClientError

Ask = Callable[[], Awaitable[None]]
"""One request; raises `ClientError` where it fails."""

_MOST_WAITING = 10_000
"""Of a service that cannot keep up, so that the load does not grow without end."""
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


@dataclass
class Measured:
    """What a load came to; failures by kind, and one of each in words."""

    seconds: float = 0
    latencies_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    said: dict[str, str] = field(default_factory=dict)
    never_sent: int = 0
    """Due in the time, at a given rate, but until it was over every connection was taken, too many
    waited, or this process was behind."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies_ms) / self.seconds if self.seconds else 0

    def percentiles_ms(self) -> dict[str, float]:
        """Of the answers, and the longest; none where there is no answer."""
        if not self.latencies_ms:
            return {}
        found = np.percentile(self.latencies_ms, PERCENTILES).tolist()
        named = {f"p{share:g}": value for share, value in zip(PERCENTILES, found, strict=True)}
        return named | {"max": max(self.latencies_ms)}

    async def timed(self, ask: Ask, due: float) -> None:
        """One request, timed from when it was due."""
        try:
            await ask()
        except ClientError as error:
            kind = type(error).__name__
            self.failures[kind] += 1
            self.said.setdefault(kind, str(error))
        else:
            self.latencies_ms.append(1000 * (time.perf_counter() - due))


async def closed_load(ask: Ask, connections: int, seconds: float) -> Measured:
    """Each connection asks again as soon as it is answered."""
    measured, begun = Measured(), time.perf_counter()

    async def keep_asking() -> None:
        while time.perf_counter() - begun < seconds:
            await measured.timed(ask, time.perf_counter())

    await asyncio.gather(*(keep_asking() for _ in range(connections)))
    measured.seconds = time.perf_counter() - begun
    return measured


async def open_load(ask: Ask, connections: int, seconds: float, rate: float) -> Measured:
    """Requests are due at random moments, `rate` a second on average, answered or not.

    One that finds every connection taken waits, and its wait counts: a server that stops for a
    second is seen by every request that was due in it. What is not begun when the time is over
    is counted, not sent.
    """
    measured, begun = Measured(), time.perf_counter()
    free = asyncio.Semaphore(connections)
    waiting: set[asyncio.Task[None]] = set()

    async def one(due: float) -> None:
        waited = free.locked()
        async with free:
            if waited and time.perf_counter() - begun > seconds:
                measured.never_sent += 1
            else:
                await measured.timed(ask, due)

    due = begun + random.expovariate(rate)
    while due < begun + seconds:
        behind = time.perf_counter() >= begun + seconds
        if not behind:
            await asyncio.sleep(max(0, due - time.perf_counter()))
        if behind or len(waiting) >= _MOST_WAITING:
            measured.never_sent += 1
        else:
            task = asyncio.create_task(one(due))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        due += random.expovariate(rate)
    await asyncio.gather(*waiting)
    measured.seconds = time.perf_counter() - begun
    return measured
