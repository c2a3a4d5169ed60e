"""One training loop for whatever is learned: coefficients, scores, or, as a yardstick, weights."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from masked_network.backbones import forward
from masked_network.task_statistics import BatchNormalised, estimated_statistics
from training.batches import Augmentation, Examples, batches_of_a_pass
from training.errors import OptionError

ComposeWeights = Callable[[], Mapping[str, Tensor]]
OnStep = Callable[[], None]
Penalty = Callable[[], Tensor]
OptimizerName = Literal["adam", "rmsprop"]
Schedule = Literal["cosine", "constant"]


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training data did; the first is 1."""

    epoch: int
    loss: float
    """Mean over the training examples that were met, as they were met."""
    held_out_accuracy: float
    seconds: float


OnEpoch = Callable[[Epoch], None]

ENOUGH_TO_COMPARE = 1024
"""Training images whose statistics an epoch's held-out accuracy is taken with."""


def unheard(_: Epoch) -> None:
    """For a fit whose epochs nobody asks after."""


@dataclass(frozen=True)
class FitOptions:
    """How to learn. `exposure` weighs outlier exposure (1812.04606); 0 leaves it out.

    `patience` ends it after so many epochs in a row without a better held-out accuracy; 0 never
    does, so that tasks of as many epochs can be compared. `most_steps` ends it in the middle of an
    epoch, as the papers count; 0 never does. `augmentation` "crop-flip" moves each image by up to
    an eighth of its side and mirrors half of them, anew in each pass: for pictures of things, not
    for permuted pixels or digits.
    """

    epochs: int
    learning_rate: float
    batch_size: int = 128
    exposure: float = 0.0
    seed: int = 0
    optimizer: OptimizerName = "adam"
    schedule: Schedule = "cosine"
    patience: int = 0
    most_steps: int = 0
    augmentation: Augmentation = "none"

    def provenance(self) -> dict[str, str | int | float]:
        """These options, for an artifact's record."""
        return asdict(self)

    def steps(self, examples: int) -> int:
        """Optimiser steps over all epochs for this many training examples."""
        steps = self.epochs * math.ceil(examples / self.batch_size)
        return min(steps, self.most_steps or steps)


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
    own_rates: Sequence[float] = (),
) -> float:
    """Change `trainable` in place so that the composed weights classify.

    After each epoch the held-out accuracy is taken, and the best epoch's values are kept and its
    accuracy returned. The loss is over all outputs: those beyond `classes` are never a label, and
    so are pushed down as G needs them (SupSup 2006.14769, section 3). Answers, exposure and
    accuracy are over the first `classes`. `penalty` is added to each step's loss. `own_rates` are
    the learning rates of the last of `trainable`, instead of the options'.

    Everything given is on one device; what is drawn is drawn on the CPU, so that a seed draws the
    same for each.

    Where the backbone normalises, a step does so by the batch's statistics, and the held-out
    accuracy by those of some training data under the epoch's weights. Running means instead
    (momentum 0.1), on two rotated tasks of digits with the small ResNet-18, gave 22 % for 55 %
    after the first epoch and -2.5 to +0.7 points after the fourth; the estimate costs a tenth of an
    epoch at most. Raises `OptionError` where a batch has no variance to normalise by.
    """
    if not len(train) or not len(held_out):
        raise ValueError(f"no data: {len(train)} training and {len(held_out)} held-out examples")
    normalised = BatchNormalised(backbone)
    if normalised.layers and min(len(train), options.batch_size) < 2:
        raise OptionError(
            "this backbone normalises, which takes batches of at least 2 images; got "
            f"{len(train)} images in batches of {options.batch_size}"
        )
    generator = torch.Generator().manual_seed(options.seed)
    split = len(trainable) - len(own_rates)
    groups: list[dict[str, object]] = [{"params": trainable[:split]}]
    for tensor, rate in zip(trainable[split:], own_rates, strict=True):
        groups.append({"params": [tensor], "lr": rate})
    optimizer = _optimizer(options, groups, train.inputs.is_cuda)
    schedule = _schedule(optimizer, options, options.steps(len(train)))
    best_accuracy, best_values = -1.0, [tensor.detach().clone() for tensor in trainable]
    since_best, steps_left = 0, options.steps(len(train))
    for epoch in range(1, options.epochs + 1):
        started, total_loss, seen = time.perf_counter(), train.inputs.new_zeros(()), 0
        batches = batches_of_a_pass(train, options.batch_size, options.augmentation, generator)
        for batch in islice(batches, steps_left):
            steps_left -= 1
            if normalised.layers and len(batch) < 2:
                continue  # one row has no variance
            loss = _loss(
                backbone, normalised, compose_weights(), batch, classes, options, generator
            )
            if penalty is not None:
                loss = loss + penalty()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            optimizer.step()
            schedule.step()
            total_loss += loss.detach() * len(batch)
            seen += len(batch)
            on_step()
        with torch.no_grad():
            weights = compose_weights()
            some = train.inputs[:ENOUGH_TO_COMPARE]
            statistics = estimated_statistics(backbone, weights, some)
            reached = accuracy(backbone, {**weights, **statistics}, held_out, classes)
        mean_loss = float(total_loss) / seen
        on_epoch(Epoch(epoch, mean_loss, reached, time.perf_counter() - started))
        since_best += 1
        if reached > best_accuracy:
            since_best = 0
            best_accuracy = reached
            best_values = [tensor.detach().clone() for tensor in trainable]
        if since_best == options.patience > 0 or not steps_left:
            break
    with torch.no_grad():
        for tensor, value in zip(trainable, best_values, strict=True):
            tensor.copy_(value)
    return best_accuracy


def _optimizer(
    options: FitOptions, groups: list[dict[str, object]], on_gpu: bool
) -> torch.optim.Optimizer:
    if options.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=options.learning_rate)
    # One kernel for all tensors there.
    return torch.optim.Adam(groups, lr=options.learning_rate, fused=on_gpu or None)


def _schedule(
    optimizer: torch.optim.Optimizer, options: FitOptions, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if options.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def _loss(
    backbone: nn.Module,
    normalised: BatchNormalised,
    weights: Mapping[str, Tensor],
    batch: Examples,
    classes: int,
    options: FitOptions,
    generator: torch.Generator,
) -> Tensor:
    logits, statistics = normalised(weights, batch.inputs)
    own = cross_entropy(logits, batch.labels)
    if not options.exposure:
        return own
    # Inputs that are not the task's: the same batch, its pixels shuffled by a fresh permutation.
    flat = batch.inputs.flatten(start_dim=1)
    order = torch.randperm(flat.shape[1], generator=generator).to(flat.device)
    shuffled = flat[:, order].view_as(batch.inputs)
    # When serving, strangers meet the task's statistics, and the entropy that names a task is over
    # its classes; so they do and so it is here.
    foreign = forward(backbone, {**weights, **statistics}, shuffled)[:, :classes]
    return own - options.exposure * foreign.log_softmax(dim=1).mean()


def accuracy(
    backbone: nn.Module, composed: Mapping[str, Tensor], examples: Examples, classes: int
) -> float:
    """Share of the examples whose largest logit among the first `classes` is the label's."""
    return right_answers(backbone, composed, examples, classes) / len(examples)


def right_answers(
    backbone: nn.Module,
    composed: Mapping[str, Tensor],
    examples: Examples,
    classes: int,
    batch_size: int = 256,
) -> int:
    """How many of the examples `accuracy` counts."""
    right = examples.labels.new_zeros(())
    batches = zip(
        torch.split(examples.inputs, batch_size),
        torch.split(examples.labels, batch_size),
        strict=True,
    )
    for inputs, labels in batches:
        logits = forward(backbone, composed, inputs)[:, :classes]
        right += (logits.argmax(dim=1) == labels).sum()
    return int(right)
