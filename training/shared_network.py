"""One network learned from several tasks together, each with some layers of its own.

What a ranked bank is made of. Keeps only the layers that the tasks share.
"""

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from masked_network.task_statistics import BatchNormalised, estimated_statistics
from training.fitting import Epoch, Examples, FitOptions, OnEpoch, accuracy, unheard

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
    optimizer = torch.optim.Adam(trainable, lr=_LEARNING_RATE)
    steps = sum(options.steps(len(train)) for train, _, _ in tasks)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(1, options.epochs + 1):
        started, seen = time.perf_counter(), 0
        total_loss = tasks[0][0].inputs.new_zeros((), dtype=torch.float64)
        for task, rows in _in_turn([len(train) for train, _, _ in tasks], options, generator):
            train, _, classes = tasks[task]
            if normalised.layers and len(rows) < 2:
                continue  # one row has no variance
            batch = train.rows(rows)
            logits, _ = normalised({**shared, **own[task]}, batch.inputs)
            loss = cross_entropy(logits[:, :classes], batch.labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            optimizer.step()
            schedule.step()
            total_loss += loss.detach().double() * len(rows)
            seen += len(rows)
        reached = [
            _held_out_accuracy(backbone, {**shared, **layers}, *task)
            for layers, task in zip(own, tasks, strict=True)
        ]
        mean = sum(reached) / len(reached)
        on_epoch(Epoch(epoch, float(total_loss) / seen, mean, time.perf_counter() - started))
    return {name: weight.detach() / weights[name] for name, weight in shared.items()}


def _in_turn(
    sizes: Sequence[int], options: FitOptions, generator: torch.Generator
) -> list[tuple[int, Tensor]]:
    batches = [
        torch.split(torch.randperm(size, generator=generator), options.batch_size) for size in sizes
    ]
    longest = max(len(of_task) for of_task in batches)
    return [
        (task, of_task[step])
        for step in range(longest)
        for task, of_task in enumerate(batches)
        if step < len(of_task)
    ]


def _held_out_accuracy(
    backbone: nn.Module,
    learned: Mapping[str, Tensor],
    train: Examples,
    held_out: Examples,
    classes: int,
) -> float:
    with torch.no_grad():
        weights = {name: tensor.detach() for name, tensor in learned.items()}
        statistics = estimated_statistics(backbone, weights, train.inputs)
        return accuracy(backbone, {**weights, **statistics}, held_out, classes)
