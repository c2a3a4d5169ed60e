"""A frozen network and as many tasks over it as are wanted, of random coefficients."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from masked_network.mask_bank import BankKind, Spread
from masked_network.ranked_bank import ranked_bank
from masked_network.task_statistics import MEAN_SUFFIX, statistics_shapes
from model_store.coefficient_tensors import Precision, quantised
from model_store.manifest import BankRecord
from model_store.network import FrozenNetwork
from model_store.preprocessing import Preprocessing
from model_store.statistics_tensor import packed_statistics
from model_store.task_artifact import TaskArtifact
from model_store.task_record import MadeFor, TaskRecord
from training.bank_options import BankOptions
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.new_networks import new_network

CLASSES = tuple(map(str, range(10)))
IMAGES: Mapping[str, Preprocessing] = {
    "lenet-300-100": Preprocessing(channels=1, height=28, width=28, mean=0.13, std=0.31),
    "resnet-18": Preprocessing(channels=3, height=64, width=64, mean=0.47, std=0.26),
    "resnet-50": Preprocessing(channels=3, height=64, width=64, mean=0.47, std=0.26),
    "resnet-18-small": Preprocessing(channels=3, height=32, width=32, mean=0.47, std=0.26),
}

_AT_ONCE = 50


def random_network(
    backbone: str, kind: BankKind = "partition", size: int = 256, spread: Spread = "even"
) -> FrozenNetwork:
    """A network over a partition of so many in a layer, or random masks that keep half.

    A ranked one is by a network that nobody learned.
    """
    if kind == "ranked":
        return _ranked(random_network(backbone, "partition", size, spread), size, spread)
    density = 0.5 if kind == "random" else None
    options = BankOptions(kind=kind, size=size, density=density, backbone=backbone, spread=spread)
    return new_network(options, IMAGES[backbone], _no_images, FitOptions(1, 0.1))


def random_tasks(
    network: FrozenNetwork, tasks: int, precision: Precision = "int4"
) -> Iterator[tuple[str, TaskArtifact]]:
    """Names and artifacts as the trainer writes them, in its precision unless told otherwise."""
    used = network.used_by("coefficients")
    made_for = MadeFor.of(network.manifest, uses_bank=True)
    statistics = packed_statistics(_statistics(network), network.statistics)
    generator = torch.Generator().manual_seed(1)
    for first in range(0, tasks, _AT_ONCE):
        drawn = torch.randn(min(_AT_ONCE, tasks - first), *used.shape, generator=generator)
        stacked = quantised(drawn, used, precision)
        for place in range(len(drawn)):
            index = first + place
            provenance: dict[str, str | int | float] = {"data": "random", "index": index}
            record = TaskRecord(classes=CLASSES, made_for=made_for, provenance=provenance)
            own = {name: values[place] for name, values in stacked.items()}
            yield task_name(index), TaskArtifact(record, own | statistics)


def task_name(index: int) -> str:
    """Of the task of that number."""
    return f"task-{index:06}"


def _ranked(network: FrozenNetwork, size: int, spread: Spread) -> FrozenNetwork:
    generator = torch.Generator().manual_seed(2)
    multipliers = {
        name: torch.randn(weight.shape, generator=generator)
        for name, weight in network.weights.items()
    }
    bank = ranked_bank(network.layers, size, 0, spread, multipliers)
    kept = {"kind": "ranked", "seed": None, "learned": 1}
    record = BankRecord(
        **network.manifest.bank.model_dump() | kept | {"fingerprint": bank.fingerprint()}
    )
    manifest = network.manifest.model_copy(update={"bank": record})
    return FrozenNetwork(manifest, network.backbone, network.layers, network.weights, bank)


def _statistics(network: FrozenNetwork) -> dict[str, Tensor]:
    # Not means beside which all that a layer puts out is negative, and its logits are 0.
    means, variances = torch.zeros, torch.ones
    return {
        name: (means if name.endswith(MEAN_SUFFIX) else variances)(shape)
        for name, shape in statistics_shapes(network.statistics).items()
    }


def _no_images(_: int) -> ImageSet:
    raise LookupError("a bank from a seed learns nothing")
