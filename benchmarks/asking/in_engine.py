"""The engine by itself under load from its own process: requests of one row, no HTTP."""

import asyncio
import random
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from benchmarks.asking.tasks_asked import HOT, Load, TasksAsked
from service.engine.engine import Engine, build_engine
from service.engine.registry.entries import Rows, Terms
from service.settings import Settings
from service.watching.telemetry import Telemetry

UNDER_WAY = 256
_NAMES_AT_ONCE = 4096


class EngineUnderLoad:
    """One that runs; `close` ends it."""

    def __init__(self, store: Path, tasks: int, loop: asyncio.Runner) -> None:
        self._loop = loop
        self._engine: Engine = build_engine(Settings(store=store), Telemetry(CollectorRegistry()))
        length = self._engine.network.manifest.preprocessing.row_length
        self._rows: Rows = np.random.default_rng(0).random((1, length), dtype=np.float32)
        self.asked = TasksAsked(tasks)
        loop.run(self._engine.start())
        self.saturated(HOT, 1.0)

    def saturated(self, kind: Load, seconds: float) -> float:
        """Requests a second with `UNDER_WAY` of them under way."""
        return self._loop.run(self._saturated(self._names(kind), seconds, UNDER_WAY))

    def light_load(self, seconds: float) -> float:
        """Half of the rate of the hot task's requests one after another.

        Half of what saturates it, in large batches, would be more than it and the load, which has
        the same core, get done of requests that come one by one.
        """
        return self._loop.run(self._saturated(self._names(HOT), seconds, 1)) / 2

    def arriving(self, kind: Load, seconds: float, rate: float) -> list[float]:
        """Seconds from when each request was due, at random moments, to its answer."""
        due = []
        at = random.expovariate(rate)
        while at < seconds:
            due.append(at)
            at += random.expovariate(rate)
        return self._loop.run(self._arriving(self.asked.next(kind, len(due)), due))

    @staticmethod
    def names_for(seconds: float, rate: float) -> int:
        """More than requests arrive in that time."""
        expected = rate * seconds
        return int(expected + 6 * expected**0.5) + 1

    def close(self) -> None:
        """Stop its threads."""
        self._loop.run(self._engine.close())

    def _names(self, kind: Load) -> Iterator[str]:
        while True:
            yield from self.asked.next(kind, _NAMES_AT_ONCE)

    async def _saturated(self, names: Iterator[str], seconds: float, under_way: int) -> float:
        started, answered = time.perf_counter(), count()
        ends = started + seconds

        async def ask() -> None:
            while time.perf_counter() < ends:
                await self._engine.predictor.predict(next(names), self._rows, Terms("load"))
                next(answered)

        await asyncio.gather(*(ask() for _ in range(under_way)))
        return next(answered) / (time.perf_counter() - started)

    async def _arriving(self, names: list[str], due: list[float]) -> list[float]:
        latencies: list[float] = []
        begun = time.perf_counter()

        async def ask(name: str, since: float) -> None:
            await self._engine.predictor.predict(name, self._rows, Terms("load"))
            latencies.append(time.perf_counter() - since)

        async with asyncio.TaskGroup() as group:
            for name, at in zip(names, due, strict=True):
                await asyncio.sleep(max(0.0, begun + at - time.perf_counter()))
                group.create_task(ask(name, begun + at))
        return latencies
