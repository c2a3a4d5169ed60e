"""Where the learning of a task's coefficients starts."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from model_store.manifest import short_fingerprint
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact, TaskKind
from training.errors import OptionError

StartKind = Literal["randn", "mean", "one-hot", "uniform"]


@dataclass(frozen=True)
class Start:
    """The first values of the coefficients `[L, K]`.

    randn: unit normal over `sqrt(K * density)`, so that a weight's multiplier has unit variance
    over any bank; ours, and what the others fall back to. mean: of the coefficients of earlier
    tasks; ours. one-hot: basis mask `index` alone, for the task that it was learned from. uniform:
    1/K, as the prototype of ImpressLearn (2210.01987) starts.
    """

    kind: StartKind = "randn"
    index: int | None = None

    def __post_init__(self) -> None:
        if (self.kind == "one-hot") != (self.index is not None):
            raise OptionError("a one-hot start, and no other, needs the index of a basis mask")

    def provenance(self) -> dict[str, str | int | float]:
        """What was asked for, for an artifact's record."""
        described: dict[str, str | int | float] = {"start": self.kind}
        if self.index is not None:
            described["start_index"] = self.index
        return described


RANDN = Start()


def coefficient_scale(network: FrozenNetwork) -> float:
    """`1 / sqrt(K * density)`: what coefficients are in units of while they are learned."""
    return 1 / math.sqrt(network.bank.size * network.bank.density)


def check_start(start: Start, bank_size: int) -> None:
    """Raise `OptionError` on a basis mask that the bank does not have."""
    if start.index is not None and not 0 <= start.index < bank_size:
        raise OptionError(f"the bank has basis masks 0 to {bank_size - 1}, got {start.index}")


def initial_coefficients(
    network: FrozenNetwork,
    start: Start,
    seed: int,
    earlier: Sequence[TaskArtifact],
    kind: TaskKind = "coefficients",
) -> Tensor:
    """Coefficients `[L, K]` that a task of that kind starts from, zero where it has none.

    A mean is of earlier tasks of the same kind; of no tasks it is a randn start.
    """
    check_start(start, network.bank.size)
    used = network.used_by(kind)
    shared = sharing_the_bank(network, earlier, kind)
    if start.kind == "mean" and shared:
        together = torch.stack([network.coefficients(task) for task in shared])  # [T, L, K]
        return together.to(torch.float64).mean(dim=0).to(torch.float32)
    if start.index is not None:
        only = torch.arange(network.bank.size) == start.index
        return (used & only).to(torch.float32)
    if start.kind == "uniform":
        return used / network.bank.size
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(used.shape, generator=generator) * used * coefficient_scale(network)


def sharing_the_bank(
    network: FrozenNetwork, tasks: Sequence[TaskArtifact], kind: TaskKind = "coefficients"
) -> tuple[TaskArtifact, ...]:
    """Those of the tasks that are of that kind, over the network's bank."""
    bank = short_fingerprint(network.manifest.bank.fingerprint)
    of_kind = [task for task in tasks if task.kind == kind]
    return tuple(task for task in of_kind if task.record.made_for.bank == bank)


def mean_provenance(tasks: Sequence[TaskArtifact]) -> dict[str, str | int | float]:
    """Which tasks a mean was taken of: how many, and a digest of their content hashes."""
    hashes = "\n".join(task.content_hash for task in tasks)
    return {
        "start_tasks": len(tasks),
        "start_digest": short_fingerprint(hashlib.sha256(hashes.encode()).hexdigest()),
    }
