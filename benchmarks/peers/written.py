"""The same tasks as everybody reads them: a store for the service, two arrays for its peers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peers.lenet import COEFFICIENTS, NETWORK, ROW_LENGTH, Floats
from benchmarks.random_tasks import random_network, random_tasks, task_name
from masked_network.backbones import forward
from masked_network.mask_bank import BankKind
from model_store.network import FrozenNetwork
from model_store.store import Store
from model_store.task_artifact import TaskArtifact

ZIPF = 1.1
CHECKED = 12
"""Answers of every server that are held against the reference; more than any batch of one task."""

_DRAWN = 1 << 17


@dataclass(frozen=True)
class Answered:
    """A row, its task, and what the method's own code makes of it."""

    task: str
    row: Floats
    probabilities: Floats


@dataclass(frozen=True)
class Written:
    """Where the tasks lie, and what is known of them."""

    store: Path
    arrays: Path
    composed_bytes: int
    checks: list[Answered]
    workloads: dict[str, Path]
    """Names of tasks in the order in which they are asked for, one a line."""


def write_tasks(folder: Path, kind: BankKind, size: int, tasks: int, popular: int) -> Written:
    """Draw them; `popular` is how many the Zipf workload asks for."""
    network = random_network("lenet-300-100", kind, size)
    coefficients = np.zeros((tasks, len(network.layers), size), np.float16)
    checks: list[Answered] = []
    rows = np.random.default_rng(0).random((CHECKED, ROW_LENGTH), dtype=np.float32)

    def noted() -> Iterator[tuple[str, TaskArtifact]]:
        for index, (name, artifact) in enumerate(random_tasks(network, tasks, "fp16")):
            coefficients[index] = network.coefficients(artifact).numpy()
            if index < CHECKED - 1 or index == tasks - 1:
                checks.append(_answered(network, name, artifact, rows[len(checks)]))
            yield name, artifact

    Store.create(folder / "store", network).publish_many(noted())
    arrays = folder / "arrays"
    arrays.mkdir()
    np.save(arrays / COEFFICIENTS, coefficients)
    np.savez(arrays / NETWORK, **_shared(network))  # type: ignore[arg-type] # numpy's own arguments
    drawn = np.random.default_rng(1)
    shares = np.arange(1, popular + 1, dtype=np.float64) ** -ZIPF
    numbers = {
        f"Zipf {ZIPF:g} over {popular:,}": drawn.choice(popular, _DRAWN, p=shares / shares.sum()),
        f"uniform over {tasks:,}": drawn.integers(tasks, size=_DRAWN),
        "one hot task": np.zeros(1, np.int64),
    }
    workloads = {}
    for number, (workload, asked_for) in enumerate(numbers.items()):
        workloads[workload] = folder / f"workload-{number}.txt"
        workloads[workload].write_text("\n".join(map(task_name, asked_for.tolist())))
    return Written(folder / "store", arrays, network.composed_bytes, checks, workloads)


def _answered(network: FrozenNetwork, name: str, artifact: TaskArtifact, row: Floats) -> Answered:
    with torch.inference_mode():
        inputs = network.manifest.preprocessing.to_inputs(torch.from_numpy(row))
        logits = forward(network.backbone, network.composed(artifact), inputs)
        return Answered(name, row, logits.softmax(dim=1)[0].numpy())


def _shared(network: FrozenNetwork) -> dict[str, NDArray[np.generic]]:
    """What inputs are normalised by, and each layer's weights `[P]` and bank.

    A bank is the groups `[P]` of a partition, or the masks `[K, P]`.
    """
    preprocessing = network.manifest.preprocessing
    normalised_by = np.array([preprocessing.mean, preprocessing.std], np.float32)
    arrays: dict[str, NDArray[np.generic]] = {"mean_and_deviation": normalised_by}
    for number, layer in enumerate(network.layers):
        arrays[f"weights{number}"] = network.weights[layer.name].flatten().numpy()
        if network.bank.disjoint:
            arrays[f"bank{number}"] = network.bank.codes[number][0].numpy().astype(np.uint16)
        else:
            masks = [network.bank.mask(number, index) for index in range(network.bank.size)]
            arrays[f"bank{number}"] = torch.stack(masks).numpy()
    return arrays
