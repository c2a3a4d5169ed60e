"""An epoch of each way to learn a task against an epoch of the dense network, through one loop.

LeNet-300-100, 60,000 inputs of 784 numbers. All take turns in one run, so that what else the
machine does hurts them alike.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from masked_network.backbones import build_backbone, masked_layers
from masked_network.composition import compose
from masked_network.frozen_weights import signed_constant_weights
from masked_network.mask_bank import MaskBank, partition_bank, random_bank
from masked_network.supermask import initial_scores, masked_weights, straight_through_mask
from training.batches import Examples
from training.fitting import FitOptions, fit
from training.studies.claims import Claim, at_most

EXAMPLES = 60_000
CLASSES = 10
REPEATS = 5
DENSE = "dense"
BOUNDS = {
    "a dedicated mask": 1.5,
    "coefficients, partition of 256": 1.5,
    "coefficients, partition of 4096": 1.5,
    "coefficients, random of 64": 2.0,
}

Learner = tuple[Callable[[], Mapping[str, Tensor]], list[Tensor]]


def epoch_seconds() -> dict[str, list[float]]:
    """Seconds of an epoch of each way, `REPEATS` times; the first way is the dense network."""
    backbone = build_backbone("lenet-300-100", (1, 28, 28), CLASSES)
    layers = masked_layers(backbone)
    weights = signed_constant_weights(layers, seed=0)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(EXAMPLES, 1, 28, 28, generator=generator)
    labels = torch.randint(CLASSES, (EXAMPLES,), generator=generator)
    train, held_out = Examples(inputs, labels), Examples(inputs[:128], labels[:128])

    def dense() -> Learner:
        learned = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
        return lambda: learned, list(learned.values())

    def dedicated() -> Learner:
        scores = initial_scores(layers, generator)
        for score in scores.values():
            score.requires_grad_()

        def masked() -> Mapping[str, Tensor]:
            masks = {name: straight_through_mask(score, 0.5) for name, score in scores.items()}
            return masked_weights(weights, masks)

        return masked, list(scores.values())

    def coefficients(bank: MaskBank) -> Callable[[], Learner]:
        def start() -> Learner:
            alpha = torch.randn(len(layers), bank.size, generator=generator).requires_grad_()
            return lambda: compose(weights, bank, alpha), [alpha]

        return start

    ways = {
        DENSE: dense,
        "a dedicated mask": dedicated,
        "coefficients, partition of 256": coefficients(partition_bank(layers, 256, 0)),
        "coefficients, partition of 4096": coefficients(partition_bank(layers, 4096, 0)),
        "coefficients, random of 64": coefficients(random_bank(layers, 64, 0.05, 0)),
    }

    def epoch_s(way: Callable[[], Learner]) -> float:
        compose_weights, learned = way()
        options = FitOptions(epochs=1, learning_rate=1e-3)
        start = time.perf_counter()
        fit(backbone, compose_weights, learned, train, held_out, CLASSES, options)
        return time.perf_counter() - start

    for way in ways.values():
        epoch_s(way)  # the first also warms caches and threads up
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, way in ways.items():
            seconds[name].append(epoch_s(way))
    return seconds


def ratio_claims(seconds: Mapping[str, Sequence[float]]) -> list[Claim]:
    """Medians over the dense network's; of nothing measured, the same claims without."""
    medians = {name: statistics.median(measured) for name, measured in seconds.items()}
    return [
        at_most(
            f"an epoch of {name} over a dense one",
            round(medians[name] / medians[DENSE], 3) if medians else None,
            bound,
            "ratio of medians",
        )
        for name, bound in BOUNDS.items()
    ]
