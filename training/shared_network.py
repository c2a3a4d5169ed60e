"""One network learned from several tasks together, each with some layers of its own.

What a ranked bank is made of. Keeps only the layers that the tasks share.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from masked_network.task_statistics import BatchNormalised, estimated_statistics
from training.batches import Examples, batches_of_a_pass
from training.fitting import ENOUGH_TO_COMPARE, Epoch, FitOptions, OnEpoch, accuracy, unheard

_LEARNING_RATE = 1e-3


def shared_multipliers(
    backbone: nn.Module,
    weights: Mapping[str, Tensor],
    tasks: Sequence[tuple[Examples, Examples, int]],
    own_layers: Sequence[str],
    options: FitOptions,
    on_epoch: OnEpoch = unheard,
) -> dict[str, Tensor]:
    """What each weight of the shared layers was multiplied by, by the layer's name, in its shape.

    `tasks` are training and held-out examples with their number of classes. Every weight is
    learned from the frozen one, by Adam at 1e-3 with cosine, a step of each task in turn; an epoch
    is a pass over the data of all. `on_epoch` hears the mean held-out accuracy over the tasks.
    Weights and examples are on one device.
    """
    normalised = BatchNormalised(backbone)
    generator = torch.Generator().manual_seed(options.seed)
    shared = {
        name: weight.clone().requires_grad_()
        for name, weight in weights.items()
        if name not in own_layers
    }
    own = [{name: weights[name].clone().requires_grad_() for name in own_layers} for _ in tasks]
    trainable = [*shared.values(), *(tensor for layers in own for tensor in layers.values())]
    on_gpu = tasks[0][0].inputs.is_cuda
    optimizer = torch.optim.Adam(trainable, lr=_LEARNING_RATE, fused=on_gpu or None)
    steps = sum(options.steps(len(train)) for train, _, _ in tasks)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(1, options.epochs + 1):
        started, seen = time.perf_counter(), 0
        total_loss = tasks[0][0].inputs.new_zeros((), dtype=torch.float64)
        for task, batch in _in_turn([train for train, _, _ in tasks], options, generator):
            if normalised.layers and len(batch) < 2:
                continue  # one row has no variance
            classes = tasks[task][2]
            logits, _ = normalised({**shared, **own[task]}, batch.inputs)
            loss = cross_entropy(logits[:, :classes], batch.labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            optimizer.step()
            schedule.step()
            total_loss += loss.detach().double() * len(batch)
            seen += len(batch)
        reached = [
            _held_out_accuracy(backbone, {**shared, **layers}, *task)
            for layers, task in zip(own, tasks, strict=True)
        ]
        mean = sum(reached) / len(reached)
        on_epoch(Epoch(epoch, float(total_loss) / seen, mean, time.perf_counter() - started))
    return {name: weight.detach() / weights[name] for name, weight in shared.items()}


def _in_turn(
    trains: Sequence[Examples], options: FitOptions, generator: torch.Generator
) -> Iterator[tuple[int, Examples]]:
    passes = [
        batches_of_a_pass(train, options.batch_size, options.augmentation, generator)
        for train in trains
    ]
    for of_tasks in zip_longest(*passes):
        for task, batch in enumerate(of_tasks):
            if batch is not None:
                yield task, batch


def _held_out_accuracy(
    backbone: nn.Module,
    learned: Mapping[str, Tensor],
    train: Examples,
    held_out: Examples,
    classes: int,
) -> float:
    with torch.no_grad():
        weights = {name: tensor.detach() for name, tensor in learned.items()}
        statistics = estimated_statistics(backbone, weights, train.inputs[:ENOUGH_TO_COMPARE])
        return accuracy(backbone, {**weights, **statistics}, held_out, classes)
