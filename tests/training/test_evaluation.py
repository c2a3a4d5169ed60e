"""Measuring a store: accuracy, forgetting, bytes, and which task is named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from model_store.network import FrozenNetwork
from model_store.store import Store
from training.coefficients import CoefficientRecipe
from training.continual import plan_tasks, publish_tasks
from training.dedicated_masks import MaskRecipe
from training.errors import DataError
from training.evaluation import evaluate, known_tasks, natural_order
from training.figure import report_png
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.inference_trials import infer_tasks
from training.report import Report, report_json, report_tables
from training.task_streams import TaskStream

PERMUTED = TaskStream("permuted")
EXPOSED = FitOptions(12, 0.2, 64, exposure=0.5)


@pytest.fixture(scope="module")
def store(
    tmp_path_factory: pytest.TempPathFactory, network: FrozenNetwork, digits: ImageSet
) -> Store:
    """Three permuted tasks, a split one, and a dedicated mask for the first."""
    made = Store.create(tmp_path_factory.mktemp("evaluation"), network)
    publish_tasks(
        made, plan_tasks(digits, PERMUTED, range(3), lambda _: CoefficientRecipe(EXPOSED, "fp16"))
    )
    few = CoefficientRecipe(FitOptions(3, 0.2, 64), "fp16")
    publish_tasks(made, plan_tasks(digits, TaskStream("split"), [2], lambda _: few))
    mask = MaskRecipe(FitOptions(4, 3e-3, 64))
    publish_tasks(made, plan_tasks(digits, PERMUTED, [0], lambda _: mask, "permuted-0-mask"))
    return made


def test_nothing_is_forgotten_and_every_byte_is_counted(store: Store, digits: ImageSet) -> None:
    known, left_out = known_tasks(store, digits)
    assert not left_out
    results = {result.task_id: result for result in evaluate(store, known)}
    assert set(results) == set(store.task_ids())
    for task_id, result in results.items():
        artifact = store.load(task_id)
        assert result.forgetting == 0
        assert result.published_accuracy == artifact.record.held_out_accuracy
        assert result.file_bytes == len(artifact.content)
        assert result.test_accuracy > 0.8
    assert results["permuted-1"].tensor_bytes == 3 * 64 * 2
    assert results["split-2"].classes == 2


def test_forgetting_is_measured_and_not_assumed(store: Store, digits: ImageSet) -> None:
    known, _ = known_tasks(store, digits, limit=1)
    record = known[0].artifact.record
    boasting = record.model_copy(update={"held_out": (3, 3)})
    changed = replace(known[0], artifact=replace(known[0].artifact, record=boasting))
    (result,) = evaluate(store, [changed])
    assert result.forgetting == 1.0 - result.held_out_accuracy > 0


def test_the_right_task_is_named_by_entropy_after_exposure(store: Store, digits: ImageSet) -> None:
    known = [task for task in known_tasks(store, digits)[0] if task.task_id[-1] in "012"]
    permuted = [task for task in known if task.task_id.startswith("permuted-")]
    shares = infer_tasks(store.network, permuted, trials_per_task=10)
    assert [row.images for row in shares] == [1, 4, 16]
    assert [row.trials for row in shares] == [30, 30, 30]
    assert shares[-1].exhaustive >= 0.9
    # Three tasks all fit on the short list, so verifying it is the same as trying every task.
    assert all(row.short_list == row.exhaustive for row in shares)


def test_tasks_of_every_kind_take_part_in_inference(store: Store, digits: ImageSet) -> None:
    shares = infer_tasks(store.network, known_tasks(store, digits)[0], trials_per_task=2)
    assert all(0 <= row.one_shot <= 1 for row in shares)


def test_a_task_of_the_same_data_counts_as_right(store: Store, digits: ImageSet) -> None:
    known = [task for task in known_tasks(store, digits)[0] if "-0" in task.task_id]
    assert [task.task_id for task in known] == ["permuted-0", "permuted-0-mask"]
    for row in infer_tasks(store.network, known, trials_per_task=2):
        assert (row.one_shot, row.short_list, row.exhaustive) == (1.0, 1.0, 1.0)


def test_tasks_of_other_data_are_left_out_and_named(
    tmp_path: Path, network: FrozenNetwork, digits: ImageSet
) -> None:
    made = Store.create(tmp_path, network)
    other = replace(digits, name="other", test=digits.held_out)
    quick = CoefficientRecipe(FitOptions(1, 0.2))
    publish_tasks(made, plan_tasks(other, PERMUTED, [0], lambda _: quick))
    made.publish("stranger", quick.learn(network, digits, {}))
    with pytest.raises(DataError, match="no task of the store"):
        known_tasks(made, digits)
    publish_tasks(made, plan_tasks(digits, PERMUTED, [1], lambda _: quick))
    known, left_out = known_tasks(made, digits)
    assert [task.task_id for task in known] == ["permuted-1"]
    assert left_out["permuted-0"] == "made from other data: other"
    assert "names no task of a stream" in left_out["stranger"]


def test_tasks_come_in_the_order_of_their_numbers() -> None:
    names = ["permuted-10", "permuted-9", "2-rotated", "permuted-9-mask", "x"]
    assert sorted(names, key=natural_order) == [
        "2-rotated",
        "permuted-9",
        "permuted-9-mask",
        "permuted-10",
        "x",
    ]


def test_the_report_says_the_same_as_table_json_and_picture(store: Store, digits: ImageSet) -> None:
    known, left_out = known_tasks(store, digits)
    inference = infer_tasks(store.network, known, trials_per_task=1)
    report = Report("digits", evaluate(store, known), inference, left_out)
    described = json.loads(report_json(report))
    assert described["summary"]["tasks"] == len(known)
    assert described["summary"]["largest_forgetting"] == 0
    assert described["tasks"][0]["forgetting"] == 0
    assert [row["images"] for row in described["inference"]] == [1, 4, 16]
    tasks, trials = report_tables(report)
    assert tasks.row_count == len(known) + 1
    assert trials.row_count == 3
    assert report_png(report).startswith(b"\x89PNG")
