"""Choosing a kind of bank by a task that is none of the stream's."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from model_store.network import FrozenNetwork
from model_store.store import Store
from training.__main__ import app
from training.bank_choice import BankTrial, bank_kinds, best_trial, probe_task, try_banks
from training.coefficients import CoefficientRecipe
from training.errors import OptionError
from training.fitting import FitOptions
from training.image_sets import ImageSet, LabelledImages
from training.run_records import read_metrics
from training.stores import StoreChoices
from training.task_streams import TaskStream

QUICK = FitOptions(1, 0.2, 128)


def bank(*arguments: object) -> Result:
    given = ["bank", "--data", "digits", "--epochs", "1", *(str(one) for one in arguments)]
    return CliRunner().invoke(app, given)


@pytest.mark.parametrize(
    "stream",
    [TaskStream("permuted"), TaskStream("rotated"), TaskStream("split"), TaskStream("plain")],
    ids=lambda stream: stream.kind,
)
def test_the_probe_is_none_of_the_tasks_of_the_stream(stream: TaskStream, digits: ImageSet) -> None:
    probe = probe_task(stream, digits)
    assert probe.fingerprint() == probe_task(stream, digits).fingerprint()
    for index in range(stream.length(digits) or 40):
        task = stream.task(digits, index)
        assert not torch.equal(probe.held_out.images, task.held_out.images)
        assert len(probe.classes) == len(task.classes)
    assert set(probe.classes) <= set(digits.classes)


def test_a_split_probe_keeps_each_image_with_its_class(digits: ImageSet) -> None:
    probe = probe_task(TaskStream("split", classes_per_task=3), digits)
    assert probe.classes == ("0", "3", "6")
    for number, label in enumerate((0, 3, 6)):
        own = digits.held_out.images[digits.held_out.labels == label]
        assert torch.equal(probe.held_out.images[probe.held_out.labels == number], own)


@pytest.mark.parametrize(
    "stream",
    [
        TaskStream("rotated", degrees=360),
        TaskStream("split", classes_per_task=1),
        TaskStream("split", classes_per_task=10),
    ],
)
def test_a_stream_that_leaves_no_other_task_is_refused(
    stream: TaskStream, digits: ImageSet
) -> None:
    with pytest.raises(OptionError, match=r"(all alike|two tasks of two classes)"):
        probe_task(stream, digits)


def test_test_data_take_no_part(digits: ImageSet) -> None:
    blank = LabelledImages(torch.zeros_like(digits.test.images), digits.test.labels)
    stream, recipe = TaskStream("permuted"), CoefficientRecipe(QUICK)
    reached = []
    for image_set in (digits, replace(digits, test=blank)):
        probe = probe_task(stream, image_set)
        trials = try_banks(
            ["partition", "atoms"],
            StoreChoices(size=4),
            image_set,
            stream,
            probe,
            recipe,
            lambda _: QUICK,
        )
        reached.append([trial.held_out_accuracy for trial in trials])
    assert reached[0] == reached[1]


def test_the_first_within_a_standard_error_of_the_best_is_chosen(network: FrozenNetwork) -> None:
    def chosen(*accuracies: float) -> int:
        trials = [
            BankTrial("random", network, accuracy, held_out_images=100) for accuracy in accuracies
        ]
        best, _ = best_trial([BankTrial("mixed", None, 1.0, left_out="no"), *trials])
        return accuracies.index(best.held_out_accuracy)

    assert chosen(0.88, 0.9, 0.8) == 0
    assert chosen(0.8, 0.88, 0.9) == 1
    assert chosen(0.8, 0.82, 1.0) == 2
    with pytest.raises(OptionError, match="can be tried: mixed: no"):
        best_trial([BankTrial("mixed", None, left_out="no")])


def test_kinds_are_named_once_and_unknown_ones_refused() -> None:
    assert bank_kinds("random, atoms,random") == ("random", "atoms")
    with pytest.raises(OptionError, match="no kind of bank 'best'; there are: partition, random"):
        bank_kinds("partition,best")


def test_the_command_shows_the_comparison_and_keeps_the_winner(tmp_path: Path) -> None:
    store, run = tmp_path / "store", tmp_path / "run"
    auto = ("--store", store, "--kind", "auto", "--size", 8, "--run", run)
    made = bank(*auto, "--candidates", "partition,random,atoms,mixed")
    assert made.exit_code == 0, made.output
    rows = {line.split()[1]: line for line in made.stdout.splitlines() if line.startswith("│")}
    assert set(rows) >= {"partition", "random", "atoms", "mixed"}
    assert "--learned" in made.stdout
    kept = Store.open(store).network.bank
    assert "chosen" in rows[kept.kind]
    tried = {metric["task"] for metric in read_metrics(run)}
    assert tried >= {"partition/probe", "random/probe", "atoms/probe", "atoms/impression-2"}
    again = bank(*auto)
    assert again.exit_code == 2
    assert "holds a store already" in again.stderr


def test_candidates_without_auto_are_refused(tmp_path: Path) -> None:
    refused = bank("--store", tmp_path, "--candidates", "random")
    assert refused.exit_code == 2
    assert "--candidates are for --kind auto" in refused.stderr
