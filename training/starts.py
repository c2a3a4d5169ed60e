"""Where the learning of a task's coefficients starts."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from model_store.manifest import short_fingerprint
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact, TaskKind
from training.errors import OptionError

StartKind = Literal["randn", "mean", "one-hot", "uniform", "origin"]

_NEAR_ORIGIN = 0.1


@dataclass(frozen=True)
class Start:
    """The first values of the coefficients `[L, K]`.

    randn: unit normal over `sqrt(K * density)`, so that a weight's multiplier has unit variance
    over any bank; ours, and what the others fall back to. mean: of the coefficients of earlier
    tasks; ours. one-hot: impression `index` alone, for the task that it was learned from. uniform:
    1/K, as the prototype of ImpressLearn (2210.01987) starts. Over atoms those two are what they
    are over the masks that overlap: one-hot gives 1 to each atom within mask `index`. origin: of a
    ranked bank, with a tenth of what randn adds to it, and randn in layers where it has none; ours.
    """

    kind: StartKind = "randn"
    index: int | None = None

    def __post_init__(self) -> None:
        if (self.kind == "one-hot") != (self.index is not None):
            raise OptionError("a one-hot start, and no other, needs the index of an impression")

    def provenance(self) -> dict[str, str | int | float]:
        """What was asked for, for an artifact's record."""
        described: dict[str, str | int | float] = {"start": self.kind}
        if self.index is not None:
            described["start_index"] = self.index
        return described


RANDN = Start()


def chosen_start(kind: StartKind | None, index: int | None) -> Start | None:
    """What the options ask for; None where they leave it to the bank. Raises `OptionError`."""
    return None if kind is None and index is None else Start(kind or "randn", index)


def coefficient_scale(network: FrozenNetwork) -> Tensor:
    """`1 / sqrt(K * density)` `[L, K]`, on the CPU: the units in which coefficients are learned.

    The density is that of each basis mask in each layer, so that masks of many and of few weights
    count alike. Of disjoint masks it is that of all together over K, as one alone gives a weight.
    Where the bank has an origin, it is a quarter of that one's root mean square in the layer.
    """
    if network.bank.origin is not None:
        return _share_of_origin(network.bank.origin.cpu())
    kept = network.bank.kept().cpu()
    if network.bank.disjoint:
        kept = kept.sum(dim=1, keepdim=True).expand_as(kept)
    else:
        kept = kept.clamp_min(1) * network.bank.size  # a mask may be empty in a small layer
    sizes = torch.tensor([[layer.size] for layer in network.segments])
    return (sizes / kept).sqrt()


def _share_of_origin(origin: Tensor) -> Tensor:
    groups = (origin != 0).sum(dim=1, keepdim=True)
    size = (origin.square().sum(dim=1, keepdim=True) / groups.clamp_min(1)).sqrt()
    return torch.where(groups > 0, size / 4, 1.0).expand_as(origin)


def check_start(start: Start, impressions: int) -> None:
    """Raise `OptionError` on an impression that the bank does not have."""
    if start.index is not None and not 0 <= start.index < impressions:
        raise OptionError(f"the bank has impressions 0 to {impressions - 1}, got {start.index}")


def initial_coefficients(
    network: FrozenNetwork,
    start: Start,
    seed: int,
    earlier: Sequence[TaskArtifact],
    kind: TaskKind = "coefficients",
) -> Tensor:
    """What a task of that kind adds to the bank's origin at first, `[L, K]`, zero where nothing.

    On the CPU, wherever the network is. A mean is of earlier tasks of the same kind; of no tasks
    it is a randn start. Raises `OptionError` on a start at impressions of a bank that has none.
    """
    bank, used = network.bank, network.used_by(kind)
    check_start(start, bank.impressions)
    shared = sharing_the_bank(network, earlier, kind)
    if start.kind == "mean" and shared:
        together = torch.stack([network.coefficients(task) for task in shared])  # [T, L, K]
        mean = together.to(torch.float64).mean(dim=0).to(torch.float32)
        return mean - network.origin_of(kind)
    if start.kind in ("one-hot", "uniform") and bank.kind == "ranked":
        raise OptionError(f"a ranked bank has no impressions for a {start.kind} start")
    made_of = (len(used), bank.impressions)
    if start.index is not None:
        one_hot = torch.zeros(made_of)
        one_hot[:, start.index] = 1.0
        return bank.from_impressions(one_hot) * used
    if start.kind == "uniform":
        return bank.from_impressions(torch.full(made_of, 1 / bank.impressions)) * used
    if start.kind == "origin" and bank.origin is None:
        raise OptionError(f"a {bank.kind} bank has no origin to start at")
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(used.shape, generator=generator) * used * coefficient_scale(network)
    if start.kind == "origin" and bank.origin is not None:
        has_origin = bank.origin.cpu().any(dim=1, keepdim=True)
        return drawn * torch.where(has_origin, _NEAR_ORIGIN, 1.0)
    return drawn


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
