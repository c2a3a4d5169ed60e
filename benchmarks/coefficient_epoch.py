"""An epoch of coefficients against an epoch of the dense network, through the same training loop.

LeNet-300-100, a partition of K = 256, 60,000 inputs of 784 numbers. The two take turns in one run,
so that what else the machine does hurts both alike.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from masked_network.backbones import build_backbone, masked_layers
from masked_network.composition import compose
from masked_network.frozen_weights import signed_constant_weights
from masked_network.mask_bank import partition_bank
from training.fitting import Examples, FitOptions, fit

EXAMPLES = 60_000
CLASSES = 10
SIZE = 256
REPEATS = 5
BOUND = 2.0


def main() -> int:
    """Measure, print, and say in the exit status whether the claim holds."""
    backbone = build_backbone("lenet-300-100", (1, 28, 28), CLASSES)
    layers = masked_layers(backbone)
    weights = signed_constant_weights(layers, seed=0)
    bank = partition_bank(layers, SIZE, seed=0)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(EXAMPLES, 1, 28, 28, generator=generator)
    labels = torch.randint(CLASSES, (EXAMPLES,), generator=generator)
    train, held_out = Examples(inputs, labels), Examples(inputs[:128], labels[:128])

    def epoch_s(
        compose_weights: Callable[[], Mapping[str, Tensor]], learned: list[Tensor]
    ) -> float:
        options = FitOptions(epochs=1, learning_rate=1e-3)
        start = time.perf_counter()
        fit(backbone, compose_weights, learned, train, held_out, CLASSES, options)
        return time.perf_counter() - start

    def dense_epoch_s() -> float:
        dense = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
        return epoch_s(lambda: dense, list(dense.values()))

    def coefficients_epoch_s() -> float:
        alpha = torch.randn(len(layers), SIZE, generator=generator).requires_grad_()
        return epoch_s(lambda: compose(weights, bank, alpha), [alpha])

    dense_epoch_s(), coefficients_epoch_s()  # the first of each also warms caches and threads up
    dense, coefficients = [], []
    for _ in range(REPEATS):
        dense.append(dense_epoch_s())
        coefficients.append(coefficients_epoch_s())
    for what, seconds in (("dense", dense), ("coefficients", coefficients)):
        print(
            f"{what}: median {statistics.median(seconds):.2f} s an epoch of {EXAMPLES:,} inputs, "
            f"{min(seconds):.2f} to {max(seconds):.2f} in {REPEATS} repeats"
        )
    ratio = statistics.median(coefficients) / statistics.median(dense)
    claim = {
        "claim": f"an epoch of coefficients (partition of {SIZE}) over a dense one",
        "measured": round(ratio, 3),
        "bound": BOUND,
        "unit": "ratio of medians, at most",
        "holds": ratio <= BOUND,
    }
    print(json.dumps([claim], indent=2))
    return 0 if claim["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
