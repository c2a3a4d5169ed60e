"""Learn masks from batches whose task nobody names: scenario NNs of SupSup (2006.14769).

Knows no task; whether a batch is of a new one it judges by its masks alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from masked_network.backbones import forward
from masked_network.supermask import (
    initial_scores,
    masked_weights,
    straight_through_threshold,
    threshold_mask,
)
from masked_network.task_inference import Candidates, one_shot_scores
from model_store.network import FrozenNetwork
from training.batches import Examples
from training.errors import OptionError

_SPARE_MASKS = 5


@dataclass(frozen=True)
class DiscoveryOptions:
    """How masks are learned and allocated; the defaults are the paper's."""

    learning_rate: float = 1e-4
    ask_every: int = 100
    """Batches from one question, whose task this is, to the next."""
    tolerance: float = 1 / 8
    """A new mask is allocated where `T * max(nu) < 1 + tolerance`."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise OptionError(f"a learning rate is above 0, got {self.learning_rate}")
        if not 0 <= self.tolerance < math.inf:
            raise OptionError(f"a tolerance is 0 or more, got {self.tolerance}")

    def provenance(self) -> dict[str, str | int | float]:
        """These options, for an artifact's record."""
        return {"rule": "threshold", "optimizer": "rmsprop", **asdict(self)}


class Discovery:
    """Masks `score >= 0`, as many as the batches seen so far have asked for.

    The network is one that `check_discoverable` lets pass.
    """

    def __init__(self, network: FrozenNetwork, options: DiscoveryOptions) -> None:
        self._network = network
        self.options = options
        self._scores: list[dict[str, Tensor]] = []
        self._optimizers: list[torch.optim.Optimizer] = []
        self._batches = 0
        self._current = 0

    def __len__(self) -> int:
        return len(self._scores)

    def mask(self, index: int) -> dict[str, Tensor]:
        """A mask as it is now, bool in each layer's shape."""
        return {name: threshold_mask(score) for name, score in self._scores[index].items()}

    def learn(self, batch: Examples) -> int:
        """Take one step with the batch; the index of the mask that learned from it.

        Every `ask_every` batches the mask is chosen anew, by this batch's inputs; labels take part
        in the step alone.
        """
        if self._batches % self.options.ask_every == 0:
            self._current = self._chosen(batch.inputs)
            if self._current == len(self):
                self._allocate()
        self._batches += 1
        scores, optimizer = self._scores[self._current], self._optimizers[self._current]
        masks = {name: straight_through_threshold(score) for name, score in scores.items()}
        weights = masked_weights(self._network.weights, masks)
        logits = forward(self._network.backbone, weights, batch.inputs)
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(logits, batch.labels).backward()  # type: ignore[no-untyped-call]  # as fitting
        optimizer.step()
        return self._current

    def _chosen(self, inputs: Tensor) -> int:
        # One mask alone has nu = 1, which would always ask for another; so, as in the authors'
        # code, masks that nothing has learned yet fill the superposition up.
        if not len(self):
            return 0
        total = max(len(self), _SPARE_MASKS)
        spare = [self._fresh_mask(index) for index in range(len(self), total)]
        nu = responsibilities(
            self._network, [self.mask(k) for k in range(len(self))] + spare, inputs
        )
        best = int(nu.argmax())
        is_new = total * float(nu[best]) < 1 + self.options.tolerance
        return len(self) if is_new else min(best, len(self))

    def _allocate(self) -> None:
        scores = self._fresh_scores(len(self))
        for score in scores.values():
            score.requires_grad_()
        self._scores.append(scores)
        self._optimizers.append(torch.optim.RMSprop(scores.values(), lr=self.options.learning_rate))

    def _fresh_scores(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(self.options.seed + index)
        scores = initial_scores(self._network.layers, generator)
        return {name: score.to(self._network.device) for name, score in scores.items()}

    def _fresh_mask(self, index: int) -> dict[str, Tensor]:
        return {name: threshold_mask(score) for name, score in self._fresh_scores(index).items()}


def check_discoverable(network: FrozenNetwork, classes: int) -> None:
    """Raise `OptionError` where tasks of so many classes cannot be discovered on the network.

    A backbone that normalises wants statistics, and those want data that is known to be a task's.
    """
    record = network.manifest.backbone
    if network.statistics:
        raise OptionError(
            f"tasks are discovered on a backbone that does not normalise, got {record.name}"
        )
    if classes > record.outputs:
        raise OptionError(f"{classes} classes need as many outputs, the store has {record.outputs}")


def responsibilities(
    network: FrozenNetwork, masks: Sequence[Mapping[str, Tensor]], inputs: Tensor
) -> Tensor:
    """`nu = softmax(-dH/dp)` `[T]`: how far each mask answers for the inputs, H over all outputs.

    SupSup (2006.14769), scenario NNs.
    """
    none = torch.empty(0, *network.bank.used.shape, device=network.device)
    outputs = network.manifest.backbone.outputs
    scores = one_shot_scores(
        network.backbone, network.weights, network.bank, Candidates(none, masks), inputs, outputs
    )
    return scores.softmax(dim=0)
