"""What a row costs in a batch of 64 tasks' rows, and composing, on one core; all in one run.

Everything that is compared takes turns, so that what else the machine does hurts it alike.
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from benchmarks.figures.bars import bars_png
from masked_network.backbones import build_backbone, forward, masked_layers
from masked_network.compiled import compiled_kernels
from masked_network.composition import compose
from masked_network.frozen_weights import signed_constant_weights
from masked_network.fused_batch import FusedBatch
from masked_network.mask_bank import MaskBank, partition_bank, random_bank
from masked_network.mixed_batch import MixedBatch, composed_by_task
from masked_network.one_pass_composition import COMPOSED_DTYPES, OnePassComposition
from masked_network.quantisation import Bits, from_levels, level_scales, to_levels
from masked_network.ranked_bank import ranked_bank
from masked_network.stacked_bank import StackedBank
from masked_network.task_statistics import statistics_layers
from training.studies.claims import Claim, at_least, at_most, claims_json

FIGURE = "mixed_batches.png"
ROWS = 64
ONE_RESIDENT = "1 row, its task's weights at hand"
RESIDENT = "64 rows of one task, its weights at hand"
FUSED = "64 rows of 64 tasks, fused"
COPY = "copying composed weights"
COMPOSE = "composing in one pass"
PARTITION = "partition of 256, fp16"
BY_ROOT = "partition of 1,024 by root, int4"

Ways = dict[str, tuple[Callable[[], object], int]]
"""What is measured, and of how many rows."""


@dataclass(frozen=True)
class Subject:
    """One backbone, its rows, how often all is measured, and the bounds of its claims."""

    name: str
    input_shape: tuple[int, ...]
    repeats: int
    stacked: tuple[int, ...]
    least_throughput: float
    most_copies: float = 1.5
    most_for_one_row: float | None = None
    """Times of a row on weights at hand; None where nothing is claimed of a row by itself."""


SUBJECTS = (
    Subject("lenet-300-100", (1, 28, 28), 100, (10, 64), 0.2, most_for_one_row=1.3),
    Subject("resnet-18-small", (3, 32, 32), 10, (8,), 0.5),
)


def main(
    figures: Annotated[
        Path | None, typer.Option(help="Draw what each way takes in there, too.")
    ] = None,
) -> None:
    """Measure, print, and say in the exit status whether the claims hold."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    kernels = compiled_kernels()
    print(f"kernels: {f'{kernels.lanes} rows side by side' if kernels else 'not built'}")
    claims, panels = [], {}
    for subject in SUBJECTS:
        panels[subject.name], found = measure(subject)
        claims += found
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        (figures / FIGURE).write_bytes(
            bars_png(panels, "us a row, or of composing or copying once")
        )
    print(claims_json(claims).decode(), end="")
    raise typer.Exit(0 if all(claim.holds for claim in claims) else 1)


def measure(subject: Subject) -> tuple[dict[str, float], list[Claim]]:
    """Print what each way takes, in microseconds of a row, and claim."""
    backbone = build_backbone(subject.name, subject.input_shape, 10)
    layers = masked_layers(backbone)
    weights = signed_constant_weights(layers, 1)
    multipliers = {name: torch.randn_like(weight) for name, weight in weights.items()}
    banks: dict[str, tuple[MaskBank, Bits | None]] = {
        PARTITION: (partition_bank(layers, 256, 2), None),
        BY_ROOT: (partition_bank(layers, 1024, 2, "root"), 4),
        "ranked of 3,200 by root, int2": (ranked_bank(layers, 3200, 2, "root", multipliers), 2),
    }
    inputs = torch.randn(ROWS, *subject.input_shape)
    ways: Ways = {}
    for name, (bank, bits) in banks.items():
        batch = mixed_batch(backbone, bank, bits)
        if name == PARTITION:
            ways |= dense_ways(backbone, weights, bank, batch, inputs)
        ways |= one_plane_ways(name, backbone, weights, bank, batch, inputs)
    for size in subject.stacked:
        bank = random_bank(layers, size, 0.5, 3)
        stacked = StackedBank(backbone, weights, bank)
        batch = mixed_batch(backbone, bank, None)
        ways[f"64 rows of 64 tasks, stacked bank, {size} masks"] = (
            partial(stacked, batch, inputs),
            ROWS,
        )
    medians = median_seconds(ways, subject.repeats)
    print(f"\n{subject.name}, {sum(layer.size for layer in layers):,} weights")
    each = {name: seconds / ways[name][1] * 1e6 for name, seconds in medians.items()}
    for name, microseconds in each.items():
        print(f"{microseconds:12.1f} us{' a row' if ways[name][1] > 1 else '':6}  {name}")
    return each, claims_of(subject, medians)


def mixed_batch(backbone: nn.Module, bank: MaskBank, bits: Bits | None) -> MixedBatch:
    """A row of each of 64 random tasks, in the precision that they would be kept in."""
    tasks = []
    for _ in range(ROWS):
        coefficients = torch.randn(bank.used.shape)
        if bits is None:
            kept = coefficients.half().float()
        else:
            scales = level_scales(coefficients, bank.used, bits)
            kept = from_levels(to_levels(coefficients, scales, bits), scales, bits)
        tasks.append(kept if bank.origin is None else kept + bank.origin)
    own = {}
    for layer in statistics_layers(backbone):
        own[layer.mean] = torch.randn(ROWS, layer.channels) / 4
        own[layer.variance] = torch.rand(ROWS, layer.channels) + 0.5
    return MixedBatch(torch.stack(tasks), torch.arange(ROWS), own)


def dense_ways(
    backbone: nn.Module,
    weights: Mapping[str, Tensor],
    bank: MaskBank,
    batch: MixedBatch,
    inputs: Tensor,
) -> Ways:
    """The product alone, on weights that were composed before; and copying those."""
    resident = []
    for task, coefficients in enumerate(batch.coefficients):
        own = {name: values[task] for name, values in batch.statistics.items()}
        resident.append(compose(weights, bank, coefficients) | own)

    def each() -> None:
        for row, composed in enumerate(resident):
            forward(backbone, composed, inputs[row : row + 1])

    return {
        ONE_RESIDENT: (partial(forward, backbone, resident[0], inputs[:1]), 1),
        RESIDENT: (partial(forward, backbone, resident[0], inputs), ROWS),
        "64 rows of 64 tasks, all their weights at hand": (each, ROWS),
        **{f"{COPY}, {name}": (copying(weights, of), 1) for name, of in COMPOSED_DTYPES.items()},
    }


def copying(weights: Mapping[str, Tensor], dtype: torch.dtype) -> Callable[[], object]:
    """Copies as many weights of that type."""
    narrowed = [weight.to(dtype) for weight in weights.values()]
    return lambda: [weight.clone() for weight in narrowed]


def one_plane_ways(
    name: str,
    backbone: nn.Module,
    weights: Mapping[str, Tensor],
    bank: MaskBank,
    batch: MixedBatch,
    inputs: Tensor,
) -> Ways:
    """Fused, and composing first, by the kernels and by torch."""
    kernels = compiled_kernels()
    by_torch = partial(compose, weights, bank)
    ways: Ways = {}
    if kernels is not None:
        fused, one_pass = (
            FusedBatch(backbone, weights, bank, kernels),
            OnePassComposition(weights, bank, kernels),
        )
        one = MixedBatch(
            batch.coefficients[:1],
            torch.zeros(1, dtype=torch.int64),
            {statistic: values[:1] for statistic, values in batch.statistics.items()},
        )
        ways = {
            f"1 row, fused, {name}": (partial(fused, one, inputs[:1]), 1),
            f"{FUSED}, {name}": (partial(fused, batch, inputs), ROWS),
            f"64 rows of 64 tasks, each composed in one pass, {name}": (
                partial(composed_by_task, backbone, one_pass, batch, inputs),
                ROWS,
            ),
        }
        for composed in COMPOSED_DTYPES:
            way = partial(one_pass, batch.coefficients[0], composed)
            ways[f"{COMPOSE} to {composed}, {name}"] = way, 1
    ways[f"64 rows of 64 tasks, each composed by torch, {name}"] = (
        partial(composed_by_task, backbone, by_torch, batch, inputs),
        ROWS,
    )
    ways[f"composing by torch, {name}"] = (partial(by_torch, batch.coefficients[0]), 1)
    return ways


def median_seconds(ways: Ways, repeats: int) -> dict[str, float]:
    """The median of each way's times, all taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, (way, _) in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    # The first turn warms caches up.
    return {name: statistics.median(measured[1:]) for name, measured in seconds.items()}


def claims_of(subject: Subject, medians: Mapping[str, float]) -> list[Claim]:
    """What is claimed of partitions; without kernels, the same of nothing measured."""
    fused = medians.get(f"{FUSED}, {PARTITION}")
    throughput = ratio_of(medians[RESIDENT], fused)
    return [
        *one_row_claims(subject, medians),
        at_least(
            f"{subject.name}, {PARTITION}: {FUSED}, against {RESIDENT}",
            throughput,
            subject.least_throughput,
            "share of the throughput",
        ),
        *(
            at_most(
                f"{subject.name}, {PARTITION}: {COMPOSE} to {composed}, against {COPY}",
                ratio_of(
                    medians.get(f"{COMPOSE} to {composed}, {PARTITION}"),
                    medians[f"{COPY}, {composed}"],
                ),
                subject.most_copies,
                "ratio of medians",
            )
            for composed in COMPOSED_DTYPES
        ),
    ]


def one_row_claims(subject: Subject, medians: Mapping[str, float]) -> list[Claim]:
    """Of a row by itself, which no other row shares the look-ups with."""
    if subject.most_for_one_row is None:
        return []
    return [
        at_most(
            f"{subject.name}, {bank}: 1 row, fused, against {ONE_RESIDENT}",
            ratio_of(medians.get(f"1 row, fused, {bank}"), medians[ONE_RESIDENT]),
            subject.most_for_one_row,
            "ratio of medians",
        )
        for bank in (PARTITION, BY_ROOT)
    ]


def ratio_of(seconds: float | None, of: float | None) -> float | None:
    """None where either was not measured."""
    return None if seconds is None or of is None else round(seconds / of, 3)


if __name__ == "__main__":
    typer.run(main)
