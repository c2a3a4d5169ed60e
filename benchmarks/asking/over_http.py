"""A service on one core under load from a process on another: raw float32, one row a request."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.asking.tasks_asked import HOT, Load, TasksAsked
from benchmarks.http_overhead import free_port
from benchmarks.peers.roster import PREDICT
from benchmarks.peers.running import load, running, wait_for
from benchmarks.random_tasks import task_name

CONNECTIONS = 48
_WARM_UP_SECONDS = 0.3
_NAMES_IN_TURN = 20_000
"""At saturation, where nobody knows how many requests there will be; then they begin again."""


@dataclass(frozen=True)
class Served:
    """A service that runs."""

    port: int
    row: NDArray[np.float32]
    asked: TasksAsked
    folder: Path
    core: int

    def saturated(self, kind: Load, seconds: float) -> float:
        """Requests a second, each connection asking again as soon as it is answered."""
        tasks = self.asked.next(kind, 1 if kind == HOT else _NAMES_IN_TURN)
        return _rate(self._under(tasks, seconds, None))

    def saturated_by(self, tasks: int, seconds: float) -> float:
        """The same with so many tasks, asked for uniformly."""
        return _rate(self._under(self.asked.some(tasks, _NAMES_IN_TURN), seconds, None))

    def light_load(self, seconds: float) -> float:
        """Half of the rate that saturates it, with the hot task or with a tenth of all."""
        hot, many = self.saturated(HOT, seconds), self.saturated_by(self.asked.tasks // 10, seconds)
        return min(hot, many) / 2

    def arriving(self, kind: Load, seconds: float, rate: float) -> list[float]:
        """Seconds from when each request was due, at random moments, to the end of its answer."""
        latencies: list[float]
        tasks = self.asked.next(kind, self.names_for(seconds, rate))
        latencies = self._under(tasks, seconds, rate)["latencies"]
        return latencies

    @staticmethod
    def names_for(seconds: float, rate: float) -> int:
        """More than requests arrive in that time, so that none is for a task asked for already."""
        expected = rate * (seconds + _WARM_UP_SECONDS)
        return CONNECTIONS + int(expected + 6 * expected**0.5) + 1

    def _under(self, tasks: list[str], seconds: float, rate: float | None) -> dict[str, Any]:
        file = self.folder / "names"
        file.write_text("\n".join(tasks))
        return load(
            self.port,
            PREDICT.request(tasks[0], self.row),
            file,
            self.core,
            seconds=seconds,
            warm_up=_WARM_UP_SECONDS,
            connections=CONNECTIONS,
            rate=rate,
        )


def _rate(found: dict[str, Any]) -> float:
    return float(found["answers"]) / float(found["seconds"])


@contextmanager
def serving(
    store: Path, tasks: int, row_length: int, server_core: int, load_core: int
) -> Iterator[Served]:
    """The service on a store of so many tasks, warmed up, until the block ends."""
    row = np.random.default_rng(0).random(row_length, dtype=np.float32)
    port = free_port()
    settings = {"STORE": str(store), "PORT": str(port)}
    with tempfile.TemporaryDirectory(prefix="impress-asked-") as name:
        log = Path(name) / "log"
        with running([sys.executable, "-m", "service"], log, server_core, settings) as process:
            wait_for(process, port, PREDICT.request(task_name(0), row), log)
            served = Served(port, row, TasksAsked(tasks), Path(name), load_core)
            served.saturated(HOT, 2.0)
            yield served
