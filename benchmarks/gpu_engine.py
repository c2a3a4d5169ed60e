"""What the engine's ways to compute take on a GPU, launches recorded or one by one; in one run.

Each waits for logits in main memory, from rows there: copying both ways, and all that Python does,
is in it. Answers are first held against this machine's CPU. Without a GPU it claims nothing.
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch

from benchmarks.gpu.report import Report
from benchmarks.random_tasks import random_network, random_tasks
from masked_network.devices import CPU
from model_store.artifact_layout import LayoutReader
from model_store.network import FrozenNetwork
from service.engine.paths.exact_products import multiply_exactly
from service.engine.paths.forward_pass import ForwardPass
from service.engine.paths.mixed_forward_here import mixed_forward
from service.engine.registry.entries import Rows
from service.engine.registry.task_table import RegisteredTask, TaskTable
from service.engine.tiers.weights_codec import composition
from service.settings import Settings
from training.studies.claims import at_least, at_most, claims_json

BACKBONES = ("lenet-300-100", "resnet-18-small", "resnet-18")
ROWS = (1, 16, 64, 256)
MOST_RECORDED = 0.7
LEAST_THROUGHPUT = {"lenet-300-100": 0.2, "resnet-18-small": 0.5}
_TOLERANCE = 1e-4
_MOST_SECONDS = 150.0
_SECONDS_EACH = 0.3

Run = Callable[[], object]
Compose = Callable[[RegisteredTask], Mapping[str, torch.Tensor]]


def main() -> int:
    """Measure, print, and say in the exit status whether the claims hold."""
    if not torch.cuda.is_available():
        print("no CUDA device: nothing is measured\n[\n]")
        return 0
    device = torch.device("cuda", torch.cuda.current_device())
    multiply_exactly(device)
    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}", flush=True)
    report = Report(_MOST_SECONDS)
    for name in BACKBONES:
        report.section(name, partial(measure, report, name, device))
    for section in report.failed:
        print(f"failed: {section}")
    print(claims_json(report.claims).decode(), end="")
    return 1 if report.failed or not all(claim.holds for claim in report.claims) else 0


def measure(report: Report, name: str, device: torch.device) -> None:
    """One backbone, over a partition of 256."""
    here = random_network(name)
    there = here.to(device)
    tasks = registered(here, max(ROWS))
    drawn = np.random.default_rng(0).random((max(ROWS), here.manifest.preprocessing.row_length))
    rows: Rows = drawn.astype(np.float32)
    started = time.perf_counter()
    recorded = (
        ForwardPass(there, device, max(ROWS)),
        mixed_forward(there, max(ROWS), Settings.model_fields["resident_bytes"].default),
    )
    report.line(f"{name}: launches recorded in {time.perf_counter() - started:.1f} s")
    one_by_one = ForwardPass(there, device), mixed_forward(there)
    compose = composition(there, "fp32")
    resident = compose(tasks[0])
    held_against_cpu(here, tasks[:3], rows, recorded[0], compose, recorded[1])
    for count in ROWS:
        some, each = rows[:count], [rows[row : row + 1] for row in range(count)]
        ways: dict[str, Run] = {
            "resident, one by one": partial(one_by_one[0], resident, some),
            "resident, recorded": partial(recorded[0], resident, some),
            "composed": partial(composed_first, recorded[0], compose, tasks[1], some),
        }
        for (_, mixed), way in ((one_by_one, "one by one"), (recorded, "recorded")):
            if mixed is not None:
                ways[f"mixed, {way}"] = partial(mixed, tasks[:count], each)
        took = in_turns(ways)
        said = ", ".join(f"{way} {1e6 * seconds:,.0f}" for way, seconds in took.items())
        report.line(f"{name}, {count} rows, us waited: {said}")
        claim(report, name, count, took)
    here_seconds = in_turns({"cpu": partial(ForwardPass(here, CPU), here.composed(tasks[0]), rows)})
    report.line(
        f"{name}, {len(rows)} rows of one task on this CPU: {1e6 * here_seconds['cpu']:,.0f} us"
    )


def composed_first(
    forward: ForwardPass, compose: Compose, task: RegisteredTask, rows: Rows
) -> Rows:
    """Logits of a task whose weights are not at hand."""
    return forward(compose(task), rows)


def claim(report: Report, name: str, count: int, took: Mapping[str, float]) -> None:
    """What is asked of one row, and of 64 tasks at once."""
    if count == 1:
        for way in ("resident", "mixed"):
            share = took[f"{way}, recorded"] / took[f"{way}, one by one"]
            said = f"{name}, 1 row, {way}: recorded launches, against one by one"
            report.claims.append(at_most(said, round(share, 3), MOST_RECORDED, "of the time"))
    if count == 64 and name in LEAST_THROUGHPUT:
        share = took["resident, recorded"] / min(took["mixed, recorded"], 64 * took["composed"])
        said = f"{name}: 64 rows of 64 tasks, against 64 of one resident task"
        bound = LEAST_THROUGHPUT[name]
        report.claims.append(at_least(said, round(share, 3), bound, "of the throughput"))


def held_against_cpu(
    here: FrozenNetwork,
    tasks: Sequence[RegisteredTask],
    rows: Rows,
    forward: ForwardPass,
    compose: Compose,
    mixed: Callable[[Sequence[RegisteredTask], Sequence[Rows]], list[Rows]] | None,
) -> None:
    """Raise where an answer is not the CPU's but for the order of summing."""
    some = [rows[:5]] * len(tasks)
    expected = [ForwardPass(here, CPU)(here.composed(task), rows[:5]) for task in tasks]
    found = [forward(compose(task), rows[:5]) for task in tasks]
    found += [] if mixed is None else mixed(tasks, some)
    for got, right in zip(found, expected * 2, strict=False):
        off = float(np.abs(got - right).max() / np.abs(right).max())
        if not off <= _TOLERANCE:
            raise ValueError(f"expected the CPU's logits, got some that are off by {off:.1e}")


def registered(network: FrozenNetwork, count: int) -> list[RegisteredTask]:
    """So many tasks of random coefficients, as a service has them in memory."""
    table, reader = TaskTable(), LayoutReader(network)
    return [
        table.add(name, reader.read(one.content, bytes.fromhex(one.content_hash)))
        for name, one in random_tasks(network, count)
    ]


def in_turns(ways: Mapping[str, Run]) -> dict[str, float]:
    """The median seconds of each, measured in turns."""
    found: dict[str, list[float]] = {way: [] for way in ways}
    for run in ways.values():
        run()
        run()
    ends = time.perf_counter() + _SECONDS_EACH * len(ways)
    while time.perf_counter() < ends:
        for way, run in ways.items():
            started = time.perf_counter()
            run()
            found[way].append(time.perf_counter() - started)
    return {way: statistics.median(seconds) for way, seconds in found.items()}


if __name__ == "__main__":
    sys.exit(main())
