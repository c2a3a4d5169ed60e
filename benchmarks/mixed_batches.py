"""What a row costs in a batch of 64 tasks' rows, and composing, on one core; all in one run.

Everything that is compared takes turns, so that what else the machine does hurts it alike.
"""

import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.figures.bars import bars_png
from benchmarks.mixing.ways import (
    COMPOSE,
    COPY,
    FUSED,
    ONE_RESIDENT,
    RESIDENT,
    ROWS,
    Ways,
    dense_ways,
    fused_ways,
    kept_coefficients,
    mixed_batch,
    one_plane_ways,
)
from masked_network.backbones import build_backbone, masked_layers
from masked_network.compiled import compiled_kernels
from masked_network.frozen_weights import signed_constant_weights
from masked_network.mask_bank import MaskBank, partition_bank, random_bank
from masked_network.one_pass_composition import COMPOSED_DTYPES
from masked_network.quantisation import Bits
from masked_network.ranked_bank import ranked_bank
from masked_network.stacked_bank import StackedBank
from training.studies.claims import Claim, at_least, at_most, claims_json

FIGURE = "mixed_batches.png"
PARTITION = "partition of 256, fp16"
BY_ROOT = "partition of 1,024 by root, int4"


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
    quick: Annotated[bool, typer.Option("--quick", help="A fifth of the repeats.")] = False,
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
        repeats = subject.repeats // 5 if quick else subject.repeats
        panels[subject.name], found = measure(subject, repeats)
        claims += found
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        (figures / FIGURE).write_bytes(
            bars_png(panels, "us a row, or of composing or copying once")
        )
    print(claims_json(claims).decode(), end="")
    raise typer.Exit(0 if all(claim.holds for claim in claims) else 1)


def measure(subject: Subject, repeats: int) -> tuple[dict[str, float], list[Claim]]:
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
        kept = kept_coefficients(bank, bits)
        batch = mixed_batch(backbone, bank, kept)
        if name == PARTITION:
            ways |= dense_ways(backbone, weights, bank, batch, inputs)
        ways |= one_plane_ways(name, backbone, weights, bank, batch, inputs)
        ways |= fused_ways(name, backbone, weights, bank, kept, inputs)
    for size in subject.stacked:
        bank = random_bank(layers, size, 0.5, 3)
        kept, name = kept_coefficients(bank, None), f"{size} masks"
        batch, stacked = mixed_batch(backbone, bank, kept), StackedBank(backbone, weights, bank)
        way = partial(stacked, batch, inputs), ROWS
        ways[f"64 rows of 64 tasks, stacked bank, {name}"] = way
        ways |= fused_ways(name, backbone, weights, bank, kept, inputs)
    medians = median_seconds(ways, repeats)
    print(f"\n{subject.name}, {sum(layer.size for layer in layers):,} weights")
    each = {name: seconds / ways[name][1] * 1e6 for name, seconds in medians.items()}
    for name, microseconds in each.items():
        print(f"{microseconds:12.1f} us{' a row' if ways[name][1] > 1 else '':6}  {name}")
    return each, claims_of(subject, medians)


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
