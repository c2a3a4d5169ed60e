"""Measures the parts of studies in several processes, which add to one ledger.

Decides nothing about what is measured.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import typer

from masked_network.devices import CPU
from training.studies.catalogue import every_study
from training.studies.data import DataSets, Source
from training.studies.ledger import Ledger
from training.studies.study import Bench, Divisible, Study

_WATCH_SECONDS = 0.5

Problems = Mapping[str, str]
"""Why data sets could not be had, by their part in the report."""


@dataclass(frozen=True)
class Report:
    """Which report it is, where it is written, from what, and where its tasks are learned."""

    folder: Path
    full: bool
    sources: Mapping[str, Source]
    machine: str
    device: torch.device = CPU

    def bench(self) -> Bench:
        """Where its studies measure, lines going to stderr."""
        ledger = Ledger(self.folder, self.machine)
        data = DataSets(self.sources, ledger)
        return Bench(self.folder, ledger, data, _say, self.device)


def measure(report: Report, asked: Sequence[str], processes: int) -> Problems:
    """Measure what the ledger lacks of the studies asked for, in so many processes.

    Each takes a part; one that finds no part left joins another in one that can be divided. What
    times things is measured after everything else, alone.
    """
    wanted = [study for study in every_study(report.full) if study.name in asked]
    parts = [(study.name, part) for study in wanted if not study.timed for part in study.parts]
    alone = [(study.name, part) for study in wanted if study.timed for part in study.parts]
    divisible = [part for part in parts if part[0] in _divisible(wanted)]
    problems: dict[str, str] = {}
    work = partial(_measure_part, report, max(1, _cores() // processes))
    if processes == 1:
        for part in parts:
            problems |= work(part)
    else:
        # A fresh interpreter each: torch's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        end_with_us = partial(_end_with, os.getpid())
        with ProcessPoolExecutor(processes, context, end_with_us) as executor:
            joining = [executor.submit(work, part) for part in parts]
            joining += [
                executor.submit(work, part, joins=True)
                for part in divisible
                for _ in range(processes - 1)
            ]
            for done in joining:
                problems |= done.result()
    for part in alone:
        problems |= work(part)
    return problems


def _measure_part(
    report: Report, threads: int, what: tuple[str, str], joins: bool = False
) -> Problems:
    name, part = what
    torch.set_num_threads(threads)
    bench = report.bench()
    (study,) = (study for study in every_study(report.full) if study.name == name)
    # Who comes to help reads no data where nothing is left to do.
    if not (joins and isinstance(study, Divisible) and study.finished(bench, part)):
        study.run(bench, part)
    return bench.data.problems


def _divisible(wanted: Sequence[Study]) -> set[str]:
    return {study.name for study in wanted if isinstance(study, Divisible)}


def _end_with(parent: int) -> None:
    """Let this process end when its parent is gone, however that ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


def default_processes() -> int:
    """One for each core, of four at most: each holds data sets of its own in memory."""
    return min(4, _cores())


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _say(line: str) -> None:
    typer.echo(line, err=True)
