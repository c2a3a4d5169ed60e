"""How well tasks are recognised: test rows of theirs and of strangers, and what is claimed of them.

Limits of strangeness are the service's, by rate of false acceptance; beside them what the strangers
themselves, and held-out rows, would have made of each rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from masked_network.backbones import forward
from masked_network.counter_random import random_permutation
from masked_network.false_acceptance import most_strangeness
from masked_network.task_evidence import TaskEvidence
from masked_network.task_posterior import confidence_error, strangeness_limit
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact
from training.evaluation import KnownTask
from training.image_sets import LabelledImages
from training.recognition import Signals, evidence_of_tasks, signals
from training.task_namers import name_tasks

ROW_COUNTS = (1, 4, 16, 128)
FALSE_ACCEPTANCES = (0.01, 0.05, 0.1, 0.2)
UNREGISTERED = "unregistered"
"""Of tasks that were never registered, rather than of none."""
_BINS = 10


@dataclass(frozen=True)
class TrialRows:
    """How many rows of each task are asked about; the most of `ROW_COUNTS` divides both."""

    test: int = 512
    held_out: int = 256


def measured_recognition(
    network: FrozenNetwork,
    known: Sequence[KnownTask],
    strangers: Mapping[str, Sequence[LabelledImages]],
    rows: TrialRows,
) -> dict[str, Any]:
    """Everything measured of these tasks, as JSON: by number of rows, and by what names the task.

    `strangers` are images of no registered task, by what they are, `UNREGISTERED` among them.
    """
    artifacts = [task.artifact for task in known]
    evidence = evidence_of_tasks(network, artifacts)

    def asked(parts: Sequence[LabelledImages], count: int) -> Signals:
        some = [_some(part, f"recognition/{index}", count) for index, part in enumerate(parts)]
        preprocessing, device = network.manifest.preprocessing, network.device
        inputs = torch.stack([part.examples(preprocessing, device).inputs for part in some])
        return signals(network, artifacts, evidence, inputs)

    def labels(parts: Sequence[LabelledImages], count: int) -> Tensor:
        some = [_some(part, f"recognition/{index}", count) for index, part in enumerate(parts)]
        return torch.stack([part.labels for part in some])  # [S, n]

    tests, kept_back = [one.test() for one in known], [one.held_out() for one in known]
    test, held_out = asked(tests, rows.test), asked(kept_back, rows.held_out)
    unknown = {name: asked(parts, rows.held_out) for name, parts in strangers.items()}
    return {
        "tasks": len(known),
        "by_rows": {
            str(count): {
                **_named(test.over(count), labels(tests, rows.test), count),
                **_refused(evidence, test, held_out, unknown, count),
            }
            for count in ROW_COUNTS
        },
    }


def mask_recognition(
    network: FrozenNetwork, known: Sequence[KnownTask], probes: int
) -> dict[str, Any]:
    """The same of dedicated masks, named by SupSup's ways (2006.14769, section 3), as JSON.

    So many probes of each task, and of each number of rows.
    """
    counts = [count for count in ROW_COUNTS if count != 4]
    preprocessing, most = network.manifest.preprocessing, max(counts)
    tests = [_some(task.test(), f"masks/{task.task_id}", probes * most) for task in known]
    inputs = [
        list(torch.split(part.examples(preprocessing, network.device).inputs, most))
        for part in tests
    ]
    artifacts = [task.artifact for task in known]
    named = name_tasks(network, artifacts, inputs, counts)
    labels = torch.stack([part.labels.view(probes, most) for part in tests])  # [T, probes, most]
    answers = torch.stack([_answers(network, task, inputs) for task in artifacts], dim=3)
    right = answers == labels.unsqueeze(3)  # [T, probes, most, T]
    own = torch.arange(len(known)).unsqueeze(1)
    found: dict[str, Any] = {"tasks": len(known), "by_rows": {}}
    for count in counts:
        ways = {way: torch.tensor(by) for (way, rows), by in named.items() if rows == count}
        seen = right[:, :, :count]
        found["by_rows"][str(count)] = {
            "named": {way: _share(by == own) for way, by in ways.items()},
            "accuracy": {
                "given": _share(seen.gather(3, _place(own.expand(-1, probes), count))),
                **{way: _share(seen.gather(3, _place(by, count))) for way, by in ways.items()},
            },
        }
    return found


@torch.no_grad()
def _answers(
    network: FrozenNetwork, task: TaskArtifact, inputs: Sequence[Sequence[Tensor]]
) -> Tensor:
    composed, classes = network.composed(task), len(task.record.classes)
    flat = torch.cat([rows for of_task in inputs for rows in of_task])
    logits = torch.cat(
        [forward(network.backbone, composed, rows) for rows in torch.split(flat, 2048)]
    )
    return logits[:, :classes].argmax(dim=1).cpu().view(len(inputs), len(inputs[0]), -1)


def _named(found: Signals, labels: Tensor, rows: int) -> dict[str, Any]:
    tasks = torch.arange(len(found.entropies))
    score = found.scores(rows)
    ways = {
        "entropy": -found.entropies,
        "evidence": found.likelihoods,
        "auto": score,
    }
    right = {way: value.argmax(dim=2) == tasks.unsqueeze(1) for way, value in ways.items()}
    confidences = score.softmax(dim=2).amax(dim=2).flatten()
    sure = right["auto"].flatten()
    by_label = found.answers == labels[:, : rows * found.answers.shape[1]].view(
        *found.answers.shape[:3], 1
    )  # [S, groups, rows, T]
    accuracy = {
        way: _share(by_label.gather(3, _place(value.argmax(dim=2), rows)))
        for way, value in ways.items()
    }
    own = tasks.view(-1, 1).expand(score.shape[:2])
    return {
        "named": {way: _share(value) for way, value in right.items()},
        "accuracy": {**accuracy, "given": _share(by_label.gather(3, _place(own, rows)))},
        "confidence_error": confidence_error(confidences, sure),
        "reliability": _reliability(confidences, sure),
        "trials": sure.numel(),
    }


def _refused(
    evidence: TaskEvidence,
    test: Signals,
    held_out: Signals,
    unknown: Mapping[str, Signals],
    rows: int,
) -> dict[str, Any]:
    own = _strange(evidence, held_out, rows)
    others = {name: _strange(evidence, found, rows) for name, found in unknown.items()}
    strange = {"registered": _strange(evidence, test, rows), **others}
    limits = {rate: most_strangeness(rate, rows) for rate in FALSE_ACCEPTANCES}
    return {
        "refused": {
            str(rate): {
                "limit": limit,
                "fitted": strangeness_limit(own, others[UNREGISTERED], rate),
                **{name: _share(values > limit) for name, values in strange.items()},
            }
            for rate, limit in limits.items()
        }
    }


def _strange(evidence: TaskEvidence, found: Signals, rows: int) -> Tensor:
    means = found.over(rows)
    return means.strangeness(evidence.own, means.scores(rows).argmax(dim=2), rows).flatten()


def _reliability(confidences: Tensor, right: Tensor) -> list[list[float]]:
    """For each bin that has any: mean confidence, share right, and how many."""
    place = (confidences * _BINS).long().clamp(0, _BINS - 1)
    return [
        [float(confidences[inside].mean()), _share(right[inside]), int(inside.sum())]
        for inside in (place == each for each in range(_BINS))
        if bool(inside.any())
    ]


def _place(named: Tensor, rows: int) -> Tensor:
    return named.view(*named.shape, 1, 1).expand(*named.shape, rows, 1)


def _share(values: Tensor) -> float:
    return round(float(values.to(torch.float64).mean()), 5)


def _some(part: LabelledImages, purpose: str, count: int) -> LabelledImages:
    order = torch.from_numpy(random_permutation(0, purpose, len(part)))
    return part.rows(order.repeat(-(-count // len(order)))[:count])
