"""One training loop for whatever is learned: coefficients, scores, or, as a yardstick, weights."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from masked_network.backbones import forward

ComposeWeights = Callable[[], Mapping[str, Tensor]]
OnStep = Callable[[], None]
Penalty = Callable[[], Tensor]
OptimizerName = Literal["adam", "rmsprop"]
Schedule = Literal["cosine", "constant"]


@dataclass(frozen=True)
class Examples:
    """Preprocessed inputs `[N, C, H, W]`, fp32, and labels `[N]`, int64, both in memory."""

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training data did; the first is 1."""

    epoch: int
    loss: float
    """Mean over the training examples, as they were met."""
    held_out_accuracy: float
    seconds: float


OnEpoch = Callable[[Epoch], None]


def unheard(_: Epoch) -> None:
    """For a fit whose epochs nobody asks after."""


@dataclass(frozen=True)
class FitOptions:
    """How to learn. `exposure` weighs outlier exposure (1812.04606); 0 leaves it out.

    `patience` ends it after so many epochs in a row without a better held-out accuracy; 0 never
    does, so that tasks of as many epochs can be compared.
    """

    epochs: int
    learning_rate: float
    batch_size: int = 128
    exposure: float = 0.0
    seed: int = 0
    optimizer: OptimizerName = "adam"
    schedule: Schedule = "cosine"
    patience: int = 0

    def provenance(self) -> dict[str, str | int | float]:
        """These options, for an artifact's record."""
        return asdict(self)

    def steps(self, examples: int) -> int:
        """Optimiser steps over all epochs for this many training examples."""
        return self.epochs * math.ceil(examples / self.batch_size)


def fit(
    backbone: nn.Module,
    compose_weights: ComposeWeights,
    trainable: list[Tensor],
    train: Examples,
    held_out: Examples,
    classes: int,
    options: FitOptions,
    on_step: OnStep = lambda: None,
    penalty: Penalty | None = None,
    on_epoch: OnEpoch = unheard,
) -> float:
    """Change `trainable` in place so that the composed weights classify.

    After each epoch the held-out accuracy is taken, and the best epoch's values are kept and its
    accuracy returned. Only the first `classes` outputs take part. `penalty` is added to each step's
    loss.
    """
    if not len(train) or not len(held_out):
        raise ValueError(f"no data: {len(train)} training and {len(held_out)} held-out examples")
    generator = torch.Generator().manual_seed(options.seed)
    optimizer = _OPTIMIZERS[options.optimizer](trainable, lr=options.learning_rate)
    schedule = _schedule(optimizer, options, options.steps(len(train)))
    best_accuracy, best_values = -1.0, [tensor.detach().clone() for tensor in trainable]
    since_best = 0
    for epoch in range(1, options.epochs + 1):
        started, total_loss = time.perf_counter(), train.inputs.new_zeros(())
        order = torch.randperm(len(train), generator=generator)
        for rows in torch.split(order, options.batch_size):
            inputs, labels = train.inputs[rows], train.labels[rows]
            loss = _loss(backbone, compose_weights(), inputs, labels, classes, options, generator)
            if penalty is not None:
                loss = loss + penalty()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            optimizer.step()
            schedule.step()
            total_loss += loss.detach() * len(rows)
            on_step()
        with torch.no_grad():
            reached = accuracy(backbone, compose_weights(), held_out, classes)
        mean_loss = float(total_loss) / len(train)
        on_epoch(Epoch(epoch, mean_loss, reached, time.perf_counter() - started))
        since_best += 1
        if reached > best_accuracy:
            since_best = 0
            best_accuracy = reached
            best_values = [tensor.detach().clone() for tensor in trainable]
        if since_best == options.patience > 0:
            break
    with torch.no_grad():
        for tensor, value in zip(trainable, best_values, strict=True):
            tensor.copy_(value)
    return best_accuracy


_OPTIMIZERS: Mapping[OptimizerName, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "rmsprop": torch.optim.RMSprop,
}


def _schedule(
    optimizer: torch.optim.Optimizer, options: FitOptions, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if options.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def _loss(
    backbone: nn.Module,
    weights: Mapping[str, Tensor],
    inputs: Tensor,
    labels: Tensor,
    classes: int,
    options: FitOptions,
    generator: torch.Generator,
) -> Tensor:
    if not options.exposure:
        return cross_entropy(forward(backbone, weights, inputs)[:, :classes], labels)
    # Inputs that are not the task's: the same batch, its pixels shuffled by a fresh permutation.
    flat = inputs.flatten(start_dim=1)
    shuffled = flat[:, torch.randperm(flat.shape[1], generator=generator)].view_as(inputs)
    logits = forward(backbone, weights, torch.cat([inputs, shuffled]))[:, :classes]
    own, foreign = logits.chunk(2)
    to_uniform = -foreign.log_softmax(dim=1).mean()
    return cross_entropy(own, labels) + options.exposure * to_uniform


def accuracy(
    backbone: nn.Module,
    weights: Mapping[str, Tensor],
    examples: Examples,
    classes: int,
    batch_size: int = 4096,
) -> float:
    """Share of the examples whose largest logit among the first `classes` is the label's."""
    right = 0
    batches = zip(
        torch.split(examples.inputs, batch_size),
        torch.split(examples.labels, batch_size),
        strict=True,
    )
    for inputs, labels in batches:
        logits = forward(backbone, weights, inputs)[:, :classes]
        right += int((logits.argmax(dim=1) == labels).sum())
    return right / len(examples)
