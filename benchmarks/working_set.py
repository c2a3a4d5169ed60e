"""Whether tasks never asked before are as quick as hot ones: the engine with very many of them.

One process, no HTTP: what is compared is the engine's own work. All kinds of load take turns.
Throughput is of requests of one row, 256 under way; latency is of requests that arrive at random
moments, waiting included. As those that ask take their share of the core, they come at a quarter of
the rate at which hot ones saturate it.
"""

import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from prometheus_client import CollectorRegistry

from benchmarks.random_tasks import random_network, random_tasks, task_name
from model_store.store import Store
from service.engine.engine import Engine, build_engine
from service.engine.entries import Terms
from service.settings import Settings
from service.telemetry import Telemetry
from training.studies.claims import Claim, at_least, at_most, claims_json

UNDER_WAY = 256
LEAST_THROUGHPUT = 1 / 1.5
MOST_LATENCY = 1.3
ZIPF = 1.1

NextTask = Callable[[], str]


@dataclass(frozen=True)
class Subject:
    """A backbone, how many tasks of it, and how long each kind of load is measured at a time."""

    backbone: str
    tasks: int
    seconds: float


SUBJECTS = (Subject("lenet-300-100", 100_000, 1.0), Subject("resnet-18-small", 10_000, 3.0))


def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="A tenth of the tasks, fewer turns.")
    ] = False,
) -> None:
    """Measure, print, and say in the exit status whether the claims hold."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    claims = []
    for subject in SUBJECTS:
        tasks, turns = (subject.tasks // 10, 3) if quick else (subject.tasks, 7)
        with tempfile.TemporaryDirectory(prefix="impress-working-set-") as name:
            network = random_network(subject.backbone)
            Store.create(Path(name) / "store", network).publish_many(random_tasks(network, tasks))
            measured = asyncio.run(measure(Path(name) / "store", tasks, subject.seconds, turns))
        claims += report(subject.backbone, tasks, *measured)
    print(claims_json(claims).decode(), end="")
    raise typer.Exit(0 if all(claim.holds for claim in claims) else 1)


async def measure(
    folder: Path, tasks: int, seconds: float, turns: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Requests a second by kind of load, and latencies in seconds of hot and of new tasks."""
    engine = build_engine(Settings(store=folder), Telemetry(CollectorRegistry()))
    await engine.start()
    row = np.random.default_rng(0).random((1, engine.network.manifest.preprocessing.row_length))
    rows = row.astype(np.float32)
    drawn = np.random.default_rng(3)
    # Never one that was asked for before; they come to an end, and then begin again.
    new = map(task_name, iter_shuffled(tasks))
    loads: dict[str, NextTask] = {
        "one hot task": lambda: task_name(0),
        f"Zipf {ZIPF:g}": zipf(tasks),
        "uniform": lambda: task_name(int(drawn.integers(tasks))),
    }
    throughput: dict[str, list[float]] = {name: [] for name in loads}
    latency: dict[str, list[float]] = {"hot": [], "never asked before": []}
    await saturated(engine, rows, loads["one hot task"], seconds)
    for _ in range(turns):
        for name, next_task in loads.items():
            throughput[name].append(await saturated(engine, rows, next_task, seconds))
        rate = statistics.median(throughput["one hot task"]) / 4
        latency["hot"] += await arriving(engine, rows, lambda: task_name(0), rate, seconds)
        latency["never asked before"] += await arriving(engine, rows, new.__next__, rate, seconds)
    print(engine.planned.explained()["costs"])
    await engine.close()
    return throughput, latency


async def saturated(engine: Engine, rows: np.ndarray, next_task: NextTask, seconds: float) -> float:
    """Requests a second with `UNDER_WAY` of them under way."""
    ends, answered = time.perf_counter() + seconds, count()

    async def ask() -> None:
        while time.perf_counter() < ends:
            await engine.predictor.predict(next_task(), rows, Terms("load"))
            next(answered)

    started = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(UNDER_WAY)))
    return next(answered) / (time.perf_counter() - started)


async def arriving(
    engine: Engine, rows: np.ndarray, next_task: NextTask, rate: float, seconds: float
) -> list[float]:
    """Latencies from the moment at which each request was due, whether or not it came in time."""
    latencies: list[float] = []
    due = time.perf_counter()
    ends = due + seconds

    async def ask(task: str, since: float) -> None:
        await engine.predictor.predict(task, rows, Terms("load"))
        latencies.append(time.perf_counter() - since)

    async with asyncio.TaskGroup() as group:
        while due < ends:
            due += random.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(ask(next_task(), due))
    return latencies


def zipf(tasks: int) -> NextTask:
    """Tasks by popularity: the n-th in proportion to `n ** -ZIPF`."""
    shares = np.arange(1, tasks + 1, dtype=np.float64) ** -ZIPF
    drawn = np.random.default_rng(1).choice(tasks, 1 << 20, p=shares / shares.sum())
    numbers = (int(drawn[index % len(drawn)]) for index in count())
    return lambda: task_name(next(numbers))


def iter_shuffled(tasks: int) -> Iterator[int]:
    """Every number below, in random order, again and again."""
    while True:
        yield from np.random.default_rng(2).permutation(tasks).tolist()


def report(
    backbone: str, tasks: int, throughput: dict[str, list[float]], latency: dict[str, list[float]]
) -> list[Claim]:
    """Print medians, and claim."""
    print(f"\n{backbone}, {tasks:,} tasks")
    rates = {name: statistics.median(found) for name, found in throughput.items()}
    for name, rate in rates.items():
        print(f"{rate:10,.0f} requests a second  {name}")
    medians = {name: statistics.median(found) for name, found in latency.items()}
    for name, found in latency.items():
        p99 = statistics.quantiles(found, n=100)[98]
        print(f"{1e3 * medians[name]:10.3f} ms, p99 {1e3 * p99:.3f}  {name}, at a quarter of it")
    where = f"{backbone}, {tasks:,} tasks"
    return [
        at_least(
            f"{where}: throughput of uniform popularity over one hot task's",
            round(rates["uniform"] / rates["one hot task"], 3),
            round(LEAST_THROUGHPUT, 3),
            "ratio",
        ),
        at_most(
            f"{where}: median latency of tasks never asked before over hot ones'",
            round(medians["never asked before"] / medians["hot"], 3),
            MOST_LATENCY,
            "ratio",
        ),
    ]


if __name__ == "__main__":
    typer.run(main)
