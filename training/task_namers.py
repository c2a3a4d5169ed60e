"""The ways in which tasks are named from unlabelled images, side by side; each over all outputs.

The service has its own order of them: it looks at the classes alone.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from masked_network.backbones import forward
from masked_network.task_inference import (
    binary_choice,
    entropy_nats,
    one_shot_scores,
    superfluous_logsumexp,
)
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact
from training.evaluation import OnTask

ONE_SHOT_H = "one-shot H"
ONE_SHOT_G = "one-shot G"
BINARY_H = "binary H"
EVERY_ENTROPY = "entropy of every task"

_FORWARD_ROWS = 1024

Named = dict[tuple[str, int], list[list[int]]]
"""By method and number of images: for each task's each probe, the index of the task named."""


def name_tasks(
    network: FrozenNetwork,
    tasks: Sequence[TaskArtifact],
    probes: Sequence[Sequence[Tensor]],
    image_counts: Sequence[int],
    on_task: OnTask = lambda: None,
) -> Named:
    """Ask by every method which of `tasks` each probe `[images, *input_shape]` is of.

    `probes` are those of each task in turn, of which the first of each of `image_counts` images are
    seen. Tasks come in the order of their kinds. H and the entropies are over all outputs, as in
    the paper; G takes part where no task has as many classes.
    """
    namers = _gradient_namers(network, tasks)
    named: Named = {
        (method, images): [] for method in (*namers, EVERY_ENTROPY) for images in image_counts
    }
    for of_task, entropies in zip(probes, _entropies(network, tasks, probes), strict=True):
        for images in image_counts:
            for method, namer in namers.items():
                named[method, images].append([namer(probe[:images]) for probe in of_task])
            named[EVERY_ENTROPY, images].append(
                [int(entropy[:, :images].mean(dim=1).argmin()) for entropy in entropies]
            )
        on_task()
    return named


def _gradient_namers(
    network: FrozenNetwork, tasks: Sequence[TaskArtifact]
) -> dict[str, Callable[[Tensor], int]]:
    shared = (network.backbone, network.weights, network.bank, network.candidates(tasks))
    outputs = network.manifest.backbone.outputs
    classes = max(len(task.record.classes) for task in tasks)

    def superfluous(inputs: Tensor) -> int:
        return int(one_shot_scores(*shared, inputs, classes, superfluous_logsumexp).argmax())

    namers: dict[str, Callable[[Tensor], int]] = {
        ONE_SHOT_H: lambda inputs: int(one_shot_scores(*shared, inputs, outputs).argmax())
    }
    if classes < outputs:
        namers[ONE_SHOT_G] = superfluous
    namers[BINARY_H] = lambda inputs: binary_choice(*shared, inputs, outputs)
    return namers


@torch.no_grad()
def _entropies(
    network: FrozenNetwork, tasks: Sequence[TaskArtifact], probes: Sequence[Sequence[Tensor]]
) -> list[list[Tensor]]:
    """For each task's each probe, `[T, images]`: the entropy of each image under every task."""
    flat = torch.cat([probe for of_task in probes for probe in of_task])
    found = []
    for task in tasks:
        composed = network.composed(task)
        parts = torch.split(flat, _FORWARD_ROWS)
        found.append(
            torch.cat([entropy_nats(forward(network.backbone, composed, rows)) for rows in parts])
        )
    each = iter(
        torch.split(torch.stack(found), [len(one) for of_task in probes for one in of_task], 1)
    )
    return [[next(each) for _ in of_task] for of_task in probes]
