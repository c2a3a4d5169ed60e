"""Whether tasks never asked before are as quick as hot ones, where there are very many.

Twice: over HTTP, the service on one core and the load in a process of its own on another; and in
the engine alone, on one core. Kinds of load take turns, and what is claimed is the median of each
turn's ratio. Requests have one row. Throughput is with all connections always waiting, or 256
requests under way. Latency is of requests that arrive at random moments, waiting included, at half
of the rate that saturates the service; in the engine, where those that ask take their share of the
core, at half of the rate of one request after another. That rate is found anew in each turn: how
quick the machine is changes with what else it does.
"""

import asyncio
import os
import signal
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

import torch
import typer

from benchmarks.asking.curves import curves_png, measured_curves
from benchmarks.asking.in_engine import EngineUnderLoad
from benchmarks.asking.over_http import serving
from benchmarks.asking.tasks_asked import BY_ZIPF, HOT, NEW, UNIFORM, Load, TasksAsked
from benchmarks.asking.turns import Compared, in_turns
from benchmarks.random_tasks import IMAGES, random_network, random_tasks
from model_store.store import Store
from training.studies.claims import Claim, at_least, at_most, claims_json

FIGURE = "working_set.png"
LEAST_THROUGHPUT = 1 / 1.5
MOST_LATENCY = 1.3
LEAST_SECONDS = 0.2


@dataclass(frozen=True)
class Subject:
    """A backbone, how many tasks of it, and how long each kind of load is measured at a time.

    The engine alone half as long: its load needs no process and no connections.
    """

    backbone: str
    tasks: int
    seconds: float = 1.0


SUBJECTS = (Subject("lenet-300-100", 100_000), Subject("resnet-18-small", 100_000))


class UnderLoad(Protocol):
    """What is asked: the service, or the engine alone."""

    @property
    def asked(self) -> TasksAsked:
        """The tasks that it is asked for."""

    def saturated(self, kind: Load, seconds: float) -> float:
        """Requests a second."""

    def arriving(self, kind: Load, seconds: float, rate: float) -> list[float]:
        """Latencies in seconds."""

    def light_load(self, seconds: float) -> float:
        """The rate at which requests are to arrive: a share of one that saturates it now."""

    def names_for(self, seconds: float, rate: float) -> int:
        """At most how many tasks that asks for."""


def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="A quarter of the tasks, fewer and shorter turns.")
    ] = False,
    backbone: Annotated[str | None, typer.Option(help="This one alone.")] = None,
    tasks: Annotated[int | None, typer.Option(min=1000, help="How many, of each backbone.")] = None,
    turns: Annotated[int | None, typer.Option(min=1, help="5, or 3 in the quick form.")] = None,
    figures: Annotated[
        Path | None, typer.Option(help=f"Measure latency by rate too: {FIGURE} in there.")
    ] = None,
) -> None:
    """Measure, print, and say in the exit status whether the claims hold."""
    torch.set_num_threads(1)
    # So that the service ends with this program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    claims = []
    for subject in SUBJECTS:
        if backbone in (None, subject.backbone):
            count = tasks or (subject.tasks // 4 if quick else subject.tasks)
            seconds = subject.seconds / 2 if quick else subject.seconds
            drawn = figures if subject is SUBJECTS[0] else None
            claims += measured(
                subject.backbone, count, seconds, turns or (3 if quick else 5), drawn
            )
    print(claims_json(claims).decode(), end="")
    raise typer.Exit(0 if all(claim.holds for claim in claims) else 1)


def measured(
    backbone: str, tasks: int, seconds: float, turns: int, figures: Path | None
) -> list[Claim]:
    """Over HTTP, then in the engine."""
    cores = sorted(os.sched_getaffinity(0))
    where = f"{backbone}, {tasks:,} tasks"
    with tempfile.TemporaryDirectory(prefix="impress-working-set-") as name:
        store, network = Path(name) / "store", random_network(backbone)
        Store.create(store, network).publish_many(random_tasks(network, tasks))
        row_length = IMAGES[backbone].row_length
        with serving(store, tasks, row_length, cores[0], cores[-1]) as served:
            claims = compared(f"{where}, over HTTP", served, seconds, turns)
            if figures is not None:
                figures.mkdir(parents=True, exist_ok=True)
                curves = curves_png(where, measured_curves(served, seconds / 2))
                (figures / FIGURE).write_bytes(curves)
        os.sched_setaffinity(0, {cores[0]})
        with asyncio.Runner() as loop:
            engine = EngineUnderLoad(store, tasks, loop)
            claims += compared(f"{where}, engine", engine, seconds / 2, turns)
            engine.close()
        os.sched_setaffinity(0, cores)
    return claims


def compared(where: str, under: UnderLoad, seconds: float, turns: int) -> list[Claim]:
    """Print medians and ratios, and claim. New tasks come first, while there are some."""
    latencies, every, rates = latencies_in_turns(where, under, seconds, turns)
    throughput = in_turns(
        (HOT, UNIFORM, BY_ZIPF), turns, lambda kind: under.saturated(kind, seconds)
    )
    print(f"\n{where}")
    for kind in throughput.found:
        print(
            f"{throughput.median(kind):10,.0f} requests a second  {kind}: {throughput.said(kind)}"
        )
    rate = statistics.median(rates)
    for kind, found in every.items():
        p99 = 1e3 * statistics.quantiles(found, n=100)[98]
        print(
            f"{1e3 * latencies.median(kind):10.3f} ms, p99 {p99:.3f}, at {rate:,.0f} a second  "
            f"{kind}: {latencies.said(kind)}"
        )
    return [
        at_least(
            f"{where}: throughput of uniform popularity over one hot task's",
            throughput.ratio(UNIFORM),
            round(LEAST_THROUGHPUT, 3),
            "ratio",
        ),
        at_most(
            f"{where}: median latency of tasks never asked before over hot ones'",
            latencies.ratio(NEW),
            MOST_LATENCY,
            "ratio",
        ),
    ]


def latencies_in_turns(
    where: str, under: UnderLoad, seconds: float, turns: int
) -> tuple[Compared, dict[Load, list[float]], list[float]]:
    """Median latencies of hot and new tasks by turn, all latencies, and each turn's rate.

    In each turn both arrive at the same rate, for as long as there are new tasks for all turns.
    """
    medians: dict[Load, list[float]] = {HOT: [], NEW: []}
    every: dict[Load, list[float]] = {HOT: [], NEW: []}
    rates = []
    for turn in range(turns):
        rates.append(under.light_load(seconds))
        arriving = seconds
        while under.names_for(arriving, rates[-1]) > under.asked.new_left // (turns - turn):
            arriving *= 0.9
            if arriving < LEAST_SECONDS:
                raise LookupError(f"{where}: too few tasks for {turns} turns at {rates[-1]:,.0f}/s")
        for kind in (HOT, NEW) if turn % 2 else (NEW, HOT):
            found = under.arriving(kind, arriving, rates[-1])
            medians[kind].append(statistics.median(found))
            every[kind] += found
    return Compared(medians), every, rates


if __name__ == "__main__":
    typer.run(main)
