"""What naming the task of sixteen rows costs, or of each of them: over 100 tasks and very many.

Beside a plain prediction of them. Tasks are of random coefficients with made-up evidence; all of it
in one thread, without HTTP. The first look is also timed alone, over a million.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.random_tasks import random_network, random_tasks
from masked_network.evidence_scan import FEW_DIRECTIONS, ScanRows, scan, scan_terms
from masked_network.input_gaussians import InputGaussians, direction_count
from masked_network.task_evidence import OwnMoments, TaskEvidence
from model_store.artifact_layout import LayoutReader
from model_store.evidence_tensor import EVIDENCE, evidence_of, kept, packed_evidence
from model_store.network import FrozenNetwork
from service.engine.inference.task_identifier import SearchLimits, TaskIdentifier
from service.engine.paths.mixed_forward_here import mixed_forward
from service.engine.registry.task_table import RegisteredTask, TaskTable
from training.studies.claims import at_most

FEW, ROWS, SHORT_LIST = 100, 16, 32
MOST_TIMES_FEW, MOST_TIMES_A_PREDICTION = 2.0, 5.0
MOST_OF_ROW_BY_ROW = 0.75
MILLION = 1_000_000


def made_up_evidence(length: int, tasks: int) -> Tensor:
    """Tensors `[tasks, bytes]`: one Gaussian, about means of each task's own."""
    count = direction_count(length)
    generator = torch.Generator().manual_seed(1)
    one, ones = torch.ones(1), torch.ones(1, count)
    regressions = torch.randn(1, count, count, generator=generator).tril(-1) / 8
    gaussian = kept(InputGaussians(ones, ones, ones, regressions))
    likelihood = gaussian.log_volumes() - count / 2
    own = OwnMoments(likelihood, one * (count / 2) ** 0.5, one / 3, one / 5)
    evidence = TaskEvidence(gaussian, own)
    every = packed_evidence(evidence)[EVIDENCE].repeat(tasks, 1)
    # A byte a mean, in sixteenths of a deviation, 128 for zero.
    means = 128 + 16 * torch.randn(tasks, count, generator=generator)
    every[:, count : 2 * count] = means.clamp(0, 255).to(torch.uint8)
    return every


def known_tasks(network: FrozenNetwork, evidence: Tensor) -> list[RegisteredTask]:
    """Live tasks, each with its own."""
    table, reader = TaskTable(), LayoutReader(network)
    tasks = []
    for own, (name, artifact) in zip(evidence, random_tasks(network, len(evidence)), strict=True):
        grown = replace(artifact, tensors={**artifact.tensors, EVIDENCE: own})
        tasks.append(table.add(name, reader.read(grown.content, bytes.fromhex(grown.content_hash))))
    return tasks


def rows_of(network: FrozenNetwork, evidence: Tensor) -> NDArray[np.float32]:
    """Rows whose projections are drawn from a task's Gaussian."""
    preprocessing = network.manifest.preprocessing
    gaussian = evidence_of(evidence.unsqueeze(0), preprocessing.row_length).gaussians
    generator = torch.Generator().manual_seed(3)
    residuals = torch.randn(ROWS, network.directions.shape[1], generator=generator)
    projected = torch.linalg.solve(gaussian.whitening()[0], residuals.T).T + gaussian.means
    inputs = projected @ torch.linalg.pinv(network.directions)
    rows: NDArray[np.float32] = (inputs * preprocessing.std + preprocessing.mean).numpy()
    return np.ascontiguousarray(rows)


def timed(calls: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """The median seconds of each, in turn, so that a busy moment hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(turns + 2):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn >= 2:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(all_of_it) for name, all_of_it in seconds.items()}


def main(
    tasks: Annotated[int, typer.Option(min=1000)] = 100_000,
    turns: Annotated[int, typer.Option(min=3)] = 50,
) -> None:
    """Measure and print; exit 1 where a claim does not hold."""
    torch.set_num_threads(1)
    network = random_network("lenet-300-100")
    evidence = made_up_evidence(network.manifest.preprocessing.row_length, tasks)
    every = tuple(known_tasks(network, evidence))
    few, rows = every[:FEW], rows_of(network, evidence[0])
    mixed = mixed_forward(network)
    assert mixed is not None
    identifiers = {
        count: TaskIdentifier(network, SearchLimits(SHORT_LIST)) for count in (FEW, tasks)
    }
    start = time.perf_counter()
    found = identifiers[tasks].identify(every, rows, "auto")
    taken_s = time.perf_counter() - start
    right = found.best.task is every[0]
    measured = timed(
        {
            "a prediction": lambda: mixed([every[0]], [rows]),
            f"{FEW} tasks": lambda: identifiers[FEW].identify(few, rows, "auto"),
            f"{tasks:,} tasks": lambda: identifiers[tasks].identify(every, rows, "auto"),
            f"each row of {FEW} tasks": lambda: identifiers[FEW].identify_each(few, rows, "auto"),
            f"each row of {tasks:,} tasks": lambda: identifiers[tasks].identify_each(
                every, rows, "auto"
            ),
            f"one row of {tasks:,} tasks": lambda: identifiers[tasks].identify(
                every, rows[:1], "auto"
            ),
        },
        turns,
    )
    plain, over_few, over_many, _, each_of_many, one_of_many = measured.values()
    for name, seconds in measured.items():
        print(f"{name}: {seconds * 1e3:.2f} ms for {ROWS} rows")
    print(f"the right one of {tasks:,} named: {'yes' if right else 'no'}")
    print(f"taking up the evidence of all tasks: {taken_s:.1f} s, once")
    scanned = sum(scan_terms(each) + 8 for each in (FEW_DIRECTIONS, 2 * FEW_DIRECTIONS))
    print(f"memory a task: {evidence.shape[1]} bytes of evidence, {scanned} more to scan")
    terms = scan_terms(FEW_DIRECTIONS)
    levels = torch.randint(-127, 128, (MILLION, terms), dtype=torch.int8)
    million = ScanRows(FEW_DIRECTIONS, levels, torch.rand(MILLION), torch.rand(MILLION))
    projected = torch.randn(ROWS, network.directions.shape[1])
    alone = timed({"scan": lambda: scan(million, projected)}, 5)["scan"]
    print(f"first look at {MILLION:,} tasks, one thread: {alone * 1e3:.1f} ms")
    claims = [
        at_most(
            f"auto over {tasks:,} tasks against {FEW}",
            round(over_many / over_few, 2),
            MOST_TIMES_FEW,
            "times",
        ),
        at_most(
            f"auto over {FEW} tasks against a prediction",
            round(over_few / plain, 2),
            MOST_TIMES_A_PREDICTION,
            "times",
        ),
        at_most(
            f"each of {ROWS} rows over {tasks:,} tasks against one row after the other",
            round(each_of_many / (ROWS * one_of_many), 2),
            MOST_OF_ROW_BY_ROW,
            "times",
        ),
    ]
    print(json.dumps([asdict(claim) for claim in claims], indent=2))
    raise typer.Exit(0 if all(claim.holds for claim in claims) else 1)


if __name__ == "__main__":
    typer.run(main)
