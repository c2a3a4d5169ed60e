"""GG, GNs and GNu of tasks whose identity is given or inferred."""

from dataclasses import replace

import pytest

from model_store.network import FrozenNetwork
from training.artifacts import artifact_accuracy
from training.bank_options import BankOptions
from training.coefficients import CoefficientRecipe
from training.evaluation import KnownTask
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.new_networks import new_network
from training.scenarios import Scenarios, measure_scenarios
from training.scenarios_report import scenarios_record, scenarios_table
from training.task_namers import BINARY_H, EVERY_ENTROPY, ONE_SHOT_G, ONE_SHOT_H
from training.task_streams import TaskStream
from training.unknown_identity import MaskSettings, learn_tasks

QUICK = MaskSettings(learning_rate=3e-3, batches=60, batch_size=64)
COUNTS = (1, 4)


@pytest.fixture(scope="module")
def wide(digits: ImageSet) -> FrozenNetwork:
    """LeNet-300-100 with forty outputs."""
    options, fit = BankOptions(size=16, outputs=40), FitOptions(1, 0.1)
    return new_network(options, digits.preprocessing(), lambda _: digits, fit)


@pytest.fixture(scope="module")
def known(wide: FrozenNetwork, digits: ImageSet) -> list[KnownTask]:
    """Three permuted tasks with a mask each."""
    return learn_tasks(wide, digits, TaskStream("permuted"), 3, QUICK.recipe)


@pytest.fixture(scope="module")
def measured(wide: FrozenNetwork, known: list[KnownTask]) -> Scenarios:
    return measure_scenarios(wide, known, COUNTS)


def test_identity_given_is_the_accuracy_of_the_tasks(
    wide: FrozenNetwork, known: list[KnownTask], measured: Scenarios
) -> None:
    tests = [task.test().examples(wide.manifest.preprocessing) for task in known]
    accuracies = [
        artifact_accuracy(wide, task.artifact, test)
        for task, test in zip(known, tests, strict=True)
    ]
    assert measured.identity_given == pytest.approx(sum(accuracies) / 3)
    assert measured.identity_given > 0.9
    assert measured.images == sum(len(test) for test in tests)


def test_every_method_names_tasks_that_a_mask_was_learned_for(measured: Scenarios) -> None:
    assert {row.method for row in measured.unknown} == {
        ONE_SHOT_H,
        ONE_SHOT_G,
        BINARY_H,
        EVERY_ENTROPY,
    }
    for method in (ONE_SHOT_H, ONE_SHOT_G, BINARY_H):
        assert measured.row(method, 4).task_named > 0.6
        assert measured.row(method, 4).batches == 3 * 3
    with pytest.raises(KeyError, match="from 16 images was not measured"):
        measured.row(ONE_SHOT_H, 16)


def test_a_right_class_of_a_wrong_task_counts_only_where_labels_are_shared(
    measured: Scenarios,
) -> None:
    for row in measured.unknown:
        assert 0 <= row.labels_not_shared <= row.labels_shared <= 1
        assert row.labels_not_shared <= row.task_named + 1e-9


def test_where_every_task_is_named_the_scenarios_are_one(
    wide: FrozenNetwork, known: list[KnownTask]
) -> None:
    alone = measure_scenarios(wide, known[:1], COUNTS)
    for row in alone.unknown:
        assert row.task_named == 1
        assert row.labels_shared == row.labels_not_shared == alone.identity_given


def test_a_task_of_the_same_data_counts_as_right(
    wide: FrozenNetwork, known: list[KnownTask]
) -> None:
    twins = [known[0], replace(known[0], task_id="twin")]
    for row in measure_scenarios(wide, twins, (1,)).unknown:
        assert row.task_named == 1


def test_classes_are_the_same_where_their_names_are(
    network: FrozenNetwork, digits: ImageSet
) -> None:
    recipe = CoefficientRecipe(FitOptions(3, 0.2, 64))
    split = learn_tasks(network, digits, TaskStream("split"), 3, lambda _: recipe)
    measured = measure_scenarios(network, split, (1,))
    # Digits 0 and 1, 2 and 3, 4 and 5: a class of another task's is never right.
    for row in measured.unknown:
        assert row.labels_shared == row.labels_not_shared


def test_without_superfluous_outputs_g_is_not_asked(
    network: FrozenNetwork, digits: ImageSet
) -> None:
    recipe = CoefficientRecipe(FitOptions(2, 0.2, 64))
    tasks = learn_tasks(network, digits, TaskStream("permuted"), 2, lambda _: recipe)
    tasks += learn_tasks(network, digits, TaskStream("permuted", seed=1), 1, QUICK.recipe)
    measured = measure_scenarios(network, tasks[::-1], (1,), most_batches=1)
    assert {row.method for row in measured.unknown} == {ONE_SHOT_H, BINARY_H, EVERY_ENTROPY}
    assert all(row.batches == 3 for row in measured.unknown)
    assert measured.images == 3 * 128


def test_table_and_record_hold_every_row(measured: Scenarios) -> None:
    record = scenarios_record(measured)
    assert record["GG"] == measured.identity_given
    rows = record["unknown"]
    assert isinstance(rows, list)
    assert len(rows) == len(measured.unknown) == 4 * 2
    assert rows[0]["GNu"] == measured.unknown[0].labels_not_shared
    assert scenarios_table(measured).row_count == 1 + 4 * 2
