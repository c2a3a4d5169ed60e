"""Measuring adaptation against naming the task."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_store.network import FrozenNetwork
from model_store.store import Store
from training.__main__ import app
from training.adaptation_trials import IMAGE_COUNTS, adaptation_trials
from training.coefficients import CoefficientRecipe
from training.continual import plan_tasks, publish_tasks
from training.dedicated_masks import MaskRecipe
from training.errors import DataError
from training.evaluation import known_tasks
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.task_streams import TaskStream

PERMUTED = TaskStream("permuted")
EXPOSED = CoefficientRecipe(FitOptions(8, 0.2, 64, exposure=0.5), "fp16")


@pytest.fixture(scope="module")
def store(
    tmp_path_factory: pytest.TempPathFactory, network: FrozenNetwork, digits: ImageSet
) -> Store:
    made = Store.create(tmp_path_factory.mktemp("adaptation"), network)
    publish_tasks(made, plan_tasks(digits, PERMUTED, range(2), lambda _: EXPOSED))
    return made


def test_a_task_itself_answers_best_and_the_others_do_not(store: Store, digits: ImageSet) -> None:
    known, _ = known_tasks(store, digits)
    shares = adaptation_trials(store.network, known, trials_per_task=1)
    assert [row.images for row in shares[::5]] == list(IMAGE_COUNTS)
    by_start = {row.start: row for row in shares if row.images == 128}
    assert len(by_start) == 5
    assert all(row.trials == 2 for row in shares)
    itself = by_start["the task itself"]
    assert itself.as_it_is > 0.9
    assert itself.as_it_is == by_start["named by entropy"].as_it_is
    assert by_start["the others' best"].as_it_is < 0.5
    assert by_start["mean of tasks"].adapted < itself.adapted


def test_tasks_of_a_mask_take_no_part_and_one_alone_has_no_others(
    tmp_path: Path, network: FrozenNetwork, digits: ImageSet
) -> None:
    made = Store.create(tmp_path, network)
    mask = MaskRecipe(FitOptions(1, 3e-3, 64))
    publish_tasks(made, plan_tasks(digits, PERMUTED, [0], lambda _: mask, "mask"))
    with pytest.raises(DataError, match="coefficients that could be adapted"):
        adaptation_trials(made.network, known_tasks(made, digits)[0])
    publish_tasks(made, plan_tasks(digits, PERMUTED, [0], lambda _: EXPOSED))
    shares = adaptation_trials(made.network, known_tasks(made, digits)[0], trials_per_task=1)
    assert {row.start for row in shares}.isdisjoint({"the others' best"})


def test_evaluate_reports_adaptation_where_it_is_asked_for(store: Store, tmp_path: Path) -> None:
    given = ["evaluate", "--store", str(store.files), "--data", "digits", "--trials", "1"]
    report = tmp_path / "report.json"
    result = CliRunner().invoke(app, [*given, "--adapt", "1", "--json", str(report)])
    assert result.exit_code == 0, result.output
    assert "mean of tasks" in result.stdout
    rows = json.loads(report.read_text())["adaptation"]
    assert {row["start"] for row in rows} >= {"mean of tasks", "named by entropy"}
    plain = CliRunner().invoke(app, [*given, "--json", str(report)])
    assert "mean of tasks" not in plain.stdout
    assert json.loads(report.read_text())["adaptation"] == []
