"""What tasks' own networks answer is what composing each of them says, however many there are."""

import numpy as np
import torch

from benchmarks.random_tasks import random_network, random_tasks
from masked_network.backbones import forward
from model_store.network import FrozenNetwork
from model_store.task_artifact import KINDS
from service.engine.inference.own_answers import OwnAnswers
from service.engine.registry.entries import Rows
from service.engine.registry.task_table import RegisteredTask
from tests.service.artifacts import MakeArtifact, registered

MANY = 70


def composed(network: FrozenNetwork, task: RegisteredTask, rows: Rows) -> Rows:
    inputs = network.manifest.preprocessing.rows_to_inputs(rows)
    logits: Rows = forward(network.backbone, network.composed(task), inputs).numpy()
    return logits


def intensities(network: FrozenNetwork, rows: int) -> Rows:
    length = network.manifest.preprocessing.row_length
    return np.random.default_rng(rows).random((rows, length), np.float32)


def test_many_tasks_answer_the_same_rows_as_each_does_alone() -> None:
    network = random_network("lenet-300-100")
    tasks = [registered(network, *named) for named in random_tasks(network, MANY)]
    rows = intensities(network, 3)
    answers = OwnAnswers(network)
    many, few = answers.of_same_rows(tasks, rows), answers.of_same_rows(tasks[:5], rows)
    assert many.shape == (MANY, 3, network.manifest.backbone.outputs)
    np.testing.assert_allclose(few, many[:5], atol=1e-4, rtol=0)
    for task, logits in zip(tasks, many, strict=True):
        np.testing.assert_allclose(logits, composed(network, task, rows), atol=1e-4, rtol=0)


def test_so_do_tasks_of_every_kind_in_their_order(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    tasks = [
        registered(network, f"task-{seed}", make_artifact(seed, KINDS[seed % len(KINDS)]))
        for seed in range(MANY)
    ]
    rows = intensities(network, 2)
    found = OwnAnswers(network).of_same_rows(tasks, rows)
    for task, logits in zip(tasks, found, strict=True):
        np.testing.assert_allclose(logits, composed(network, task, rows), atol=1e-4, rtol=0)
    with torch.inference_mode():
        (alone,) = OwnAnswers(network)([tasks[-1]], [rows])
    np.testing.assert_allclose(alone, found[-1], atol=1e-4, rtol=0)
