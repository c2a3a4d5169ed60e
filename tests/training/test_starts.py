"""Where coefficients start from."""

from pathlib import Path

import pytest
import torch

from model_store.network import FrozenNetwork
from model_store.store import Store
from training.artifacts import artifact_accuracy
from training.bank_options import BankOptions
from training.coefficients import CoefficientRecipe
from training.continual import plan_tasks, publish_tasks
from training.dedicated_masks import MaskRecipe
from training.errors import OptionError
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.new_networks import new_network
from training.starts import Start, initial_coefficients
from training.task_streams import TaskStream

STANDING = FitOptions(1, 1e-12)


def test_a_uniform_start_is_one_over_k_and_a_one_hot_start_one_mask(network: FrozenNetwork) -> None:
    shape = (len(network.layers), network.bank.size)
    uniform = initial_coefficients(network, Start("uniform"), 0, ())
    assert torch.equal(uniform, torch.full(shape, 1 / network.bank.size))
    one_hot = initial_coefficients(network, Start("one-hot", 5), 0, ())
    assert one_hot.argmax(dim=1).tolist() == [5] * shape[0]
    assert float(one_hot.sum()) == shape[0]


def test_a_mean_start_is_the_mean_of_the_tasks_that_share_the_bank(
    network: FrozenNetwork, digits: ImageSet
) -> None:
    recipes = [CoefficientRecipe(FitOptions(1, 0.2, seed=seed)) for seed in (1, 2)]
    tasks = [recipe.learn(network, digits, {}) for recipe in recipes]
    mask = MaskRecipe(FitOptions(1, 3e-3)).learn(network, digits, {})
    start = initial_coefficients(network, Start("mean"), 0, [*tasks, mask])
    first, second = (network.coefficients(task) for task in tasks)
    assert torch.allclose(start, (first + second) / 2)
    learned = CoefficientRecipe(STANDING, "fp16", Start("mean")).learn(
        network, digits, {}, earlier=[*tasks, mask]
    )
    assert torch.allclose(network.coefficients(learned), start, rtol=1e-3, atol=1e-4)
    assert learned.record.provenance["start"] == "mean"
    assert learned.record.provenance["start_tasks"] == 2


def test_a_mean_start_is_of_tasks_of_the_same_kind(
    network: FrozenNetwork, digits: ImageSet
) -> None:
    hybrid = CoefficientRecipe(FitOptions(1, 0.2), mask_learning_rate=3e-3)
    tasks = [recipe.learn(network, digits, {}) for recipe in (hybrid, CoefficientRecipe(STANDING))]
    for task in tasks:
        start = initial_coefficients(network, Start("mean"), 0, tasks, task.kind)
        assert torch.equal(start, network.coefficients(task))


def test_a_mean_of_no_tasks_is_a_random_start(network: FrozenNetwork) -> None:
    randn = initial_coefficients(network, Start(), 3, ())
    assert torch.equal(initial_coefficients(network, Start("mean"), 3, ()), randn)
    assert not torch.equal(initial_coefficients(network, Start(), 4, ()), randn)


def test_a_task_of_the_bank_starts_one_hot_at_what_its_own_mask_reached(digits: ImageSet) -> None:
    stream, fit = TaskStream("permuted"), FitOptions(4, 3e-3, 64)
    options = BankOptions("heterogeneous", 2)
    made = new_network(options, digits.preprocessing(), lambda k: stream.task(digits, k), fit)
    task = stream.task(digits, 1)
    held_out = task.held_out.examples(made.manifest.preprocessing)
    own = MaskRecipe(fit).learn(made, task, {})
    standing = CoefficientRecipe(STANDING, start=Start("one-hot", 1)).learn(made, task, {})
    assert standing.record.held_out_accuracy == artifact_accuracy(made, own, held_out)
    assert standing.record.provenance["start_index"] == 1


def test_each_task_of_a_stream_starts_from_those_before_it_in_the_plan(
    tmp_path: Path, network: FrozenNetwork, digits: ImageSet
) -> None:
    recipe = CoefficientRecipe(FitOptions(1, 0.2), start=Start("mean"))
    planned = plan_tasks(digits, TaskStream("rotated"), range(3), lambda _: recipe)
    whole, broken = (Store.create(tmp_path / name, network) for name in ("whole", "broken"))
    publish_tasks(whole, planned)
    stranger = plan_tasks(digits, TaskStream("permuted"), [7], lambda _: recipe)
    for part in (planned[:1], stranger, planned[1:]):
        publish_tasks(broken, part)
    hashes = [[store.current_hash(task.task_id) for task in planned] for store in (whole, broken)]
    assert hashes[0] == hashes[1]
    assert [whole.load(task.task_id).record.provenance["start_tasks"] for task in planned] == [
        0,
        1,
        2,
    ]


def test_a_start_that_the_bank_does_not_have_is_refused(
    network: FrozenNetwork, digits: ImageSet
) -> None:
    for kind, index in (("one-hot", None), ("randn", 3)):
        with pytest.raises(OptionError, match="one-hot start"):
            Start(kind, index)  # type: ignore[arg-type]  # the loop's strings are plain
    beyond = CoefficientRecipe(STANDING, start=Start("one-hot", 64))
    with pytest.raises(OptionError, match="impressions 0 to 63, got 64"):
        beyond.learn(network, digits, {})
