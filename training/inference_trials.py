"""How often task inference names the right task, from a few unlabelled test images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from masked_network.backbones import forward
from masked_network.counter_random import random_permutation
from masked_network.task_inference import entropy_nats, one_shot_scores
from model_store.network import FrozenNetwork
from model_store.task_artifact import KINDS
from training.evaluation import KnownTask, OnTask

IMAGE_COUNTS = (1, 4, 16)
SHORT_LIST = 8


@dataclass(frozen=True)
class InferenceShares:
    """Shares of the trials in which a method names the right task, from `images` images each."""

    images: int
    trials: int
    one_shot: float
    """The largest one-shot score (SupSup 2006.14769, section 3.3)."""
    short_list: float
    """The lowest true entropy among the best eight by one-shot."""
    exhaustive: float
    """The lowest true entropy among all tasks."""


def infer_tasks(
    network: FrozenNetwork,
    known: Sequence[KnownTask],
    trials_per_task: int = 20,
    on_task: OnTask = lambda: None,
) -> list[InferenceShares]:
    """Ask of every task's test images which of the known tasks they belong to.

    Entropies are taken as a share of the uniform answer's, so that tasks of few classes compare. A
    task made from the same data counts as right.
    """
    # Candidates come in the order of their kinds, as does all that is indexed by task here.
    ordered = sorted(known, key=lambda task: KINDS.index(task.artifact.kind))
    candidates = network.candidates([task.artifact for task in ordered])
    classes = max(len(task.artifact.record.classes) for task in ordered)
    right = torch.tensor([[a.same_data(b) for b in ordered] for a in ordered])
    inputs = torch.stack([trial_inputs(network, task, trials_per_task) for task in ordered])
    entropies = trial_entropies(network, ordered, inputs)  # [candidate, T, trials, images]
    named: Mapping[int, dict[str, int]] = {
        images: {"one_shot": 0, "short_list": 0, "exhaustive": 0} for images in IMAGE_COUNTS
    }
    for truth in range(len(ordered)):
        for trial in range(trials_per_task):
            for images, counts in named.items():
                scores = one_shot_scores(
                    network.backbone,
                    network.weights,
                    network.bank,
                    candidates,
                    inputs[truth, trial, :images],
                    classes,
                ).cpu()
                entropy = entropies[:, truth, trial, :images].mean(dim=1)  # [T]
                best = scores.topk(min(SHORT_LIST, len(ordered))).indices
                counts["one_shot"] += int(right[truth, best[0]])
                counts["short_list"] += int(right[truth, best[entropy[best].argmin()]])
                counts["exhaustive"] += int(right[truth, entropy.argmin()])
        on_task()
    trials = len(ordered) * trials_per_task
    return [
        InferenceShares(
            images, trials, **{method: count / trials for method, count in counts.items()}
        )
        for images, counts in named.items()
    ]


def trial_inputs(network: FrozenNetwork, task: KnownTask, trials: int) -> Tensor:
    """Test images of a task as inputs `[trials, images, C, H, W]`, the most of `IMAGE_COUNTS`."""
    needed = trials * max(IMAGE_COUNTS)
    test = task.test()
    order = torch.from_numpy(random_permutation(0, f"trials/{task.task_id}", len(test)))
    rows = order.repeat(-(-needed // len(order)))[:needed]
    inputs = test.rows(rows).examples(network.manifest.preprocessing, network.device).inputs
    return inputs.reshape(trials, -1, *inputs.shape[1:])  # [trials, images, C, H, W]


def trial_entropies(
    network: FrozenNetwork, candidates: Sequence[KnownTask], inputs: Tensor
) -> Tensor:
    """Relative entropy of every trial image `[T, trials, images, ...]` under every candidate.

    `[candidate, T, trials, images]`, on the CPU.
    """
    flat = inputs.flatten(end_dim=2)
    found = []
    with torch.no_grad():
        for candidate in candidates:
            classes = len(candidate.artifact.record.classes)
            logits = forward(network.backbone, network.composed(candidate.artifact), flat)
            # A task of one class is certain whatever it sees: it counts as knowing nothing.
            uniform = torch.tensor(float(classes)).log()
            entropy = entropy_nats(logits[:, :classes])
            found.append(entropy / uniform if classes > 1 else torch.ones_like(entropy))
    return torch.stack(found).cpu().view(len(candidates), *inputs.shape[:3])
