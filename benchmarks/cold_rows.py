"""What one row of a task never asked before takes, against one of a hot task, in the engine.

One process, no HTTP, one request at a time, hot and new taking turns. New tasks run without
composed weights. Hot rows run on weights at hand, whatever the planner would rather do, so that the
ratio is of the two ways; what the engine does by itself is printed, too.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from prometheus_client import CollectorRegistry

from benchmarks.random_tasks import random_network, random_tasks, task_name
from masked_network.mask_bank import BankKind, Spread
from model_store.coefficient_tensors import Precision
from model_store.store import Store
from service.engine.engine import Engine, build_engine
from service.engine.paths.planned_forward import Work
from service.engine.paths.planner import Group, Planner
from service.engine.paths.planner import Path as Way
from service.engine.registry.entries import Entry, Rows, Terms
from service.settings import Settings
from service.watching.telemetry import Telemetry
from training.studies.claims import Claim, at_most, claims_json

MOST_TIMES = 1.3
BACKBONE = "lenet-300-100"


@dataclass(frozen=True)
class Subject:
    """A bank of disjoint masks, and how its tasks are kept."""

    kind: BankKind
    size: int
    spread: Spread
    precision: Precision

    @property
    def name(self) -> str:
        spread = " by root" if self.spread == "root" else ""
        return f"{BACKBONE}, {self.kind} of {self.size:,}{spread}, {self.precision}"


SUBJECTS = (
    Subject("partition", 1024, "root", "int4"),
    Subject("partition", 256, "even", "fp16"),
    Subject("ranked", 3200, "root", "int2"),
)


class WeightsWhereAtHand(Planner):
    """Composed weights where they are at hand, and else none."""

    def plan(self, groups: Sequence[Group]) -> list[Way]:
        return ["grouped" if group.at_hand else "mixed" for group in groups]


def main(
    quick: Annotated[bool, typer.Option("--quick", help="A quarter of the turns.")] = False,
) -> None:
    """Measure, print, and say in the exit status whether the claims hold."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    turns = 500 if quick else 2000
    claims = [one for subject in SUBJECTS for one in asyncio.run(measure(subject, turns))]
    print(claims_json(claims).decode(), end="")
    raise typer.Exit(0 if all(claim.holds for claim in claims) else 1)


async def measure(subject: Subject, turns: int) -> list[Claim]:
    """Print medians of every level, and claim."""
    network = random_network(BACKBONE, subject.kind, subject.size, subject.spread)
    with tempfile.TemporaryDirectory(prefix="impress-cold-rows-") as name:
        store = Path(name) / "store"
        tasks = random_tasks(network, 2 * turns + 1, subject.precision)
        Store.create(store, network).publish_many(tasks)
        engine = build_engine(Settings(store=store), Telemetry(CollectorRegistry()))
        await engine.start()
        print(f"\n{subject.name}")
        ratios = await levels(engine, turns)
        await engine.close()
    return [
        at_most(
            f"{subject.name}: median of a new task's row over a hot one's, {level}",
            ratio,
            MOST_TIMES,
            "ratio",
        )
        for level, ratio in ratios.items()
    ]


async def levels(engine: Engine, turns: int) -> dict[str, float]:
    """What is claimed, by level; what the engine does by itself is of tasks that are new again."""
    drawn = np.random.default_rng(0).random((1, engine.network.manifest.preprocessing.row_length))
    rows = drawn.astype(np.float32)
    hot = engine.registry.get(task_name(0))
    engine.cache.keep(hot.version, engine.network.composed(hot))
    by_itself = engine.planned.planner
    engine.planned.planner = WeightsWhereAtHand(by_itself.costs)
    new = range(1, turns + 1)
    ratios = {
        "engine": said("engine", *await asked(engine, rows, new)),
        "batch alone": said("batch alone", *computed(engine, rows, new)),
    }
    engine.planned.planner = by_itself
    said("engine, as it plans", *await asked(engine, rows, range(turns + 1, 2 * turns + 1)))
    return ratios


async def asked(engine: Engine, rows: Rows, new: Sequence[int]) -> tuple[list[float], list[float]]:
    """Seconds of requests for the hot task and for each new one, taking turns."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for index in new:
        for found, task in zip(seconds, (0, index), strict=True):
            started = time.perf_counter()
            await engine.predictor.predict(task_name(task), rows, Terms("load"))
            found.append(time.perf_counter() - started)
    return seconds


def computed(engine: Engine, rows: Rows, new: Sequence[int]) -> tuple[list[float], list[float]]:
    """The same of batches of one row, without waiting and threads."""
    hot = engine.registry.get(task_name(0))
    weights = engine.network.composed(hot)
    seconds: tuple[list[float], list[float]] = ([], [])
    for index in new:
        task = engine.registry.get(task_name(index))
        for found, work in zip(seconds, (Work(hot, weights), Work(task, None)), strict=True):
            entry = Entry(work.task.version, work, rows)
            started = time.perf_counter()
            engine.planned([entry])
            found.append(time.perf_counter() - started)
    return seconds


def said(level: str, hot: Sequence[float], new: Sequence[float]) -> float:
    """The ratio of medians, printed with them."""
    medians = statistics.median(hot), statistics.median(new)
    ratio = round(medians[1] / medians[0], 3)
    print(f"{1e6 * medians[0]:10.1f} us hot, {1e6 * medians[1]:.1f} new: {ratio}  {level}")
    return ratio


if __name__ == "__main__":
    typer.run(main)
