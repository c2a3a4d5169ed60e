"""Learning on a backbone that normalises: statistics are gathered, stored, and the task's own."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from masked_network.backbones import forward
from masked_network.layer_budget import er_budget
from masked_network.task_statistics import estimated_statistics
from model_store.compatibility import check_artifact
from model_store.errors import InvalidArtifact
from model_store.network import FrozenNetwork
from model_store.store import Store
from tests.real_parts import running_service
from training.__main__ import app
from training.artifacts import artifact_accuracy
from training.bank_options import BankOptions
from training.coefficients import CoefficientRecipe
from training.continual import plan_tasks, publish_tasks
from training.dedicated_masks import MaskRecipe
from training.errors import OptionError
from training.evaluation import evaluate, known_tasks
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.inference_trials import infer_tasks
from training.mask_rules import MaskRule
from training.new_networks import new_network
from training.task_streams import TaskStream

SPLIT = TaskStream("split")
FIT = FitOptions(4, 0.1, 32)


@pytest.fixture(scope="module")
def network(digits: ImageSet) -> FrozenNetwork:
    """The small ResNet-18 with a partition of 16, for two classes of digits."""
    options = BankOptions(size=16, backbone="resnet-18-small", outputs=2)
    return new_network(options, digits.preprocessing(), lambda _: digits, FIT)


@pytest.fixture(scope="module")
def task(digits: ImageSet) -> ImageSet:
    return SPLIT.task(digits, 0)


@pytest.fixture(scope="module")
def store(
    tmp_path_factory: pytest.TempPathFactory, network: FrozenNetwork, digits: ImageSet
) -> Store:
    """Two tasks by coefficients, and one by a dedicated mask."""
    made = Store.create(tmp_path_factory.mktemp("normalised"), network)
    exposed = CoefficientRecipe(replace(FIT, exposure=0.5))
    publish_tasks(made, plan_tasks(digits, SPLIT, range(2), lambda _: exposed))
    mask = MaskRecipe(FitOptions(4, 3e-3, 32), MaskRule(er_scale=32))
    publish_tasks(made, plan_tasks(digits, SPLIT, [2], lambda _: mask, "split-2-mask"))
    return made


def test_learned_tasks_are_right_and_nothing_is_forgotten(store: Store, digits: ImageSet) -> None:
    known, left_out = known_tasks(store, digits)
    assert not left_out
    for result in evaluate(store, known):
        assert result.test_accuracy > 0.8
        assert result.forgetting == 0
        assert result.held_out_accuracy == result.published_accuracy


def test_statistics_are_those_of_the_training_data_under_the_stored_weights(
    store: Store, task: ImageSet
) -> None:
    network, artifact = store.network, store.load("split-0")
    inputs = task.train.examples(network.manifest.preprocessing).inputs
    weights = network.composed_weights(artifact)
    expected = estimated_statistics(network.backbone, weights, inputs)
    for name, values in network.task_statistics(artifact).items():
        torch.testing.assert_close(values, expected[name], rtol=1e-3, atol=1e-6)


def test_another_tasks_statistics_change_the_answers(store: Store, task: ImageSet) -> None:
    network, own = store.network, store.load("split-0")
    inputs = task.test.examples(network.manifest.preprocessing).inputs
    composed = network.composed(own)
    foreign = composed | network.task_statistics(store.load("split-1"))
    logits = forward(network.backbone, composed, inputs)
    assert not torch.allclose(forward(network.backbone, foreign, inputs), logits, atol=0.1)


def test_tasks_of_every_kind_take_part_in_inference(store: Store, digits: ImageSet) -> None:
    shares = infer_tasks(store.network, known_tasks(store, digits)[0], trials_per_task=2)
    assert all(row.short_list == row.exhaustive for row in shares)


def test_er_budget_is_what_a_dedicated_mask_keeps(store: Store) -> None:
    network = store.network
    budget = er_budget(network.layers, 32)
    for name, mask in network.supermask(store.load("split-2-mask")).items():
        assert mask.float().mean().item() == pytest.approx(budget[name], abs=1 / mask.numel())


def test_channels_that_no_weight_reaches_can_be_stored(
    network: FrozenNetwork, task: ImageSet
) -> None:
    sparse = MaskRecipe(FitOptions(1, 3e-3, 64), MaskRule(er_scale=0.2))
    artifact = sparse.learn(network, task, {})
    least = float(artifact.tensors["statistics"][1].min())
    assert 0 < least < 1e-6
    check_artifact(network, artifact)


def test_the_same_seed_learns_the_same_bytes(network: FrozenNetwork, task: ImageSet) -> None:
    recipe = CoefficientRecipe(FitOptions(1, 0.1, 64, exposure=0.5))
    first, second = (recipe.learn(network, task, {}) for _ in range(2))
    assert first.content == second.content
    held_out = task.held_out.examples(network.manifest.preprocessing)
    assert artifact_accuracy(network, first, held_out) == first.record.held_out_accuracy


def test_a_lone_row_at_the_end_of_an_epoch_is_passed_over(
    network: FrozenNetwork, task: ImageSet
) -> None:
    few = replace(task, train=task.train.rows(torch.arange(9)))
    artifact = CoefficientRecipe(FitOptions(2, 0.1, 4)).learn(network, few, {})
    assert artifact.record.held_out_accuracy is not None


@pytest.mark.parametrize(("images", "batch_size"), [(1, 32), (20, 1)])
def test_batches_without_variance_are_refused_in_words(
    network: FrozenNetwork, task: ImageSet, images: int, batch_size: int
) -> None:
    few = replace(task, train=task.train.rows(torch.arange(images)))
    recipe = CoefficientRecipe(FitOptions(1, 0.1, batch_size))
    with pytest.raises(OptionError, match=f"got {images} images in batches of {batch_size}"):
        recipe.learn(network, few, {})


def test_learning_that_diverged_is_refused(network: FrozenNetwork, task: ImageSet) -> None:
    with pytest.raises(InvalidArtifact, match="must"):
        CoefficientRecipe(FitOptions(1, 1e30, 64)).learn(network, task, {})


def test_learned_impressions_take_an_er_budget(digits: ImageSet, task: ImageSet) -> None:
    options = BankOptions("heterogeneous", 2, backbone="resnet-18-small", outputs=2, er_scale=8)
    made = new_network(options, digits.preprocessing(), lambda _: task, FitOptions(1, 3e-3, 64))
    budget = er_budget(made.layers, 8)
    kept = 0
    for index, layer in enumerate(made.layers):
        share = made.bank.mask(index, 1).float().mean().item()
        assert share == pytest.approx(budget[layer.name], abs=1 / layer.size)
        kept += int(made.bank.mask(index, 1).sum())
    total = sum(layer.size for layer in made.layers)
    assert made.manifest.bank.density == pytest.approx(kept / total, abs=21 / total)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (BankOptions("partition", 16, er_scale=1), "not for a partition bank"),
        (BankOptions("homogeneous", 2, density=0.1, er_scale=1), "give one"),
        (BankOptions("homogeneous", 2, er_scale=0), "above 0"),
    ],
)
def test_contradicting_budgets_are_refused(
    digits: ImageSet, options: BankOptions, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        new_network(options, digits.preprocessing(), lambda _: digits, FIT)


def test_from_the_command_line_to_an_answer_of_the_service(
    tmp_path: Path, digits: ImageSet
) -> None:
    folder = tmp_path / "store"
    split = ("--store", folder, "--data", "digits", "--stream", "split")
    quick = ("--epochs", 2, "--batch-size", 32)
    commands = [
        ("bank", *split, "--backbone", "resnet-18-small", "--size", 16),
        ("task", *split, *quick, "--index", 0),
        ("mask", *split, *quick, "--index", 1, "--er-scale", 32),
        ("evaluate", "--store", folder, "--data", "digits", "--trials", 1),
    ]
    for command in commands:
        result = CliRunner().invoke(app, [str(argument) for argument in command])
        assert result.exit_code == 0, result.output
    store = Store.open(folder)
    assert store.load("split-1-mask").record.provenance["er_scale"] == 32
    images = SPLIT.task(digits, 0).test.images[:4]
    inputs = store.network.manifest.preprocessing.to_inputs(images / 255)
    with running_service(folder) as client:
        for task_id in store.task_ids():
            artifact = store.load(task_id)
            logits = forward(store.network.backbone, store.network.composed(artifact), inputs)
            expected = logits[:, :2].softmax(dim=1).amax(dim=1)
            body = {"task": task_id, "inputs": (images.flatten(1) / 255).tolist()}
            answer = client.post("/v1/predict", json=body).json()
            found = [one["probability"] for one in answer["predictions"]]
            assert found == pytest.approx(expected.tolist(), rel=1e-3)
