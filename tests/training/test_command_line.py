"""The trainer's command line, as a person meets it."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from model_store.compatibility import check_artifact
from model_store.evidence_tensor import evidence_bytes
from model_store.store import Store
from model_store.task_artifact import parse_artifact
from training.__main__ import app
from training.run_records import read_metrics

DIGITS = ("--data", "digits")
QUICK = ("--epochs", "2", "--batch-size", "128")
EVIDENCE_BYTES = evidence_bytes(64)


def run(*arguments: object, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=env)


def succeed(*arguments: object) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def store(tmp_path: Path) -> Path:
    succeed("bank", "--store", tmp_path / "store", *DIGITS, "--size", 16)
    return tmp_path / "store"


def test_a_task_is_published_or_written_for_upload(store: Path, tmp_path: Path) -> None:
    task = ("task", "--store", store, *DIGITS, "--stream", "permuted", *QUICK)
    succeed(*task, "--index", 1, "--tag", "site:x", "--tag", "digits")
    out = tmp_path / "new" / "permuted-2.safetensors"
    succeed(*task, "--index", 2, "--out", out)
    opened = Store.open(store)
    assert opened.task_ids() == ["permuted-1"]
    assert opened.load("permuted-1").record.tags == ("digits", "site:x")
    written = parse_artifact(out.read_bytes())
    check_artifact(opened.network, written)
    assert written.record.provenance["index"] == 2
    assert "data_fingerprint" in written.record.provenance


def test_evidence_comes_with_a_task_and_takes_at_most_512_bytes(store: Path) -> None:
    files = []
    for choice in ("--evidence", "--no-evidence"):
        out = store.parent / f"{choice}.safetensors"
        place = ("--index", 3, "--out", out)
        succeed("task", "--store", store, *DIGITS, "--stream", "permuted", *place, *QUICK, choice)
        files.append(parse_artifact(out.read_bytes()))
    known, plain = files
    assert set(known.tensors) - set(plain.tensors) == {"evidence"}
    assert known.record == plain.record
    assert len(known.content) - len(plain.content) <= 512


def test_a_record_names_the_data_and_leaves_out_the_recipes_defaults(store: Path) -> None:
    plain = (*QUICK, "--no-evidence")
    succeed("task", "--store", store, *DIGITS, "--stream", "permuted", "--index", 3, *plain)
    artifact = Store.open(store).load("permuted-3")
    assert set(artifact.record.provenance) == {
        "data",
        "data_fingerprint",
        "stream",
        "index",
        "epochs",
    }
    assert len(artifact.content) - artifact.tensor_bytes <= 400


def test_augmenting_is_recorded_and_learns_something_else(store: Path) -> None:
    task = ("task", "--store", store, *DIGITS, *QUICK, "--task-id")
    succeed(*task, "plain")
    succeed(*task, "moved", "--augment", "crop-flip")
    plain, moved = (Store.open(store).load(name) for name in ("plain", "moved"))
    assert moved.record.provenance == {**plain.record.provenance, "augmentation": "crop-flip"}
    assert moved.tensors["coefficients"].tolist() != plain.tensors["coefficients"].tolist()


def test_a_mask_is_a_task_of_the_same_store(store: Path) -> None:
    succeed("mask", "--store", store, *DIGITS, "--stream", "rotated", "--index", 3, *QUICK)
    artifact = Store.open(store).load("rotated-3-mask")
    assert artifact.kind == "supermask"
    assert artifact.record.provenance["degrees"] == 10.0
    transfer = ("--start", "transfer", "--rule", "threshold")
    succeed("mask", "--store", store, *DIGITS, "--task-id", "digits-mask", *QUICK, *transfer)
    assert Store.open(store).load("digits-mask").record.provenance["start_tasks"] == 1


def test_a_hybrid_is_a_task_of_the_same_store_and_goes_on_as_one(store: Path) -> None:
    fp16 = ("--precision", "fp16")
    task = ("task", "--store", store, *DIGITS, "--stream", "permuted", *QUICK, *fp16)
    refused = run(*task, "--mask-learning-rate", 0.01)
    assert refused.exit_code == 2
    assert "give --hybrid with it" in refused.stderr
    succeed(*task, "--hybrid", "--mask-learning-rate", 0.01)
    artifact = Store.open(store).load("permuted-0")
    assert artifact.kind == "hybrid"
    own = (13 + 16) * 2 + 125  # by the root of 64 x 300 and 300 x 100
    assert artifact.tensor_bytes == own + EVIDENCE_BYTES
    assert artifact.record.provenance["mask_learning_rate"] == 0.01
    stream = ("stream", "--store", store, *DIGITS, *QUICK, "--tasks", 2)
    other = run(*stream)
    assert other.exit_code == 2
    assert "permuted-0 was made with kind 'hybrid', not 'coefficients'" in other.stderr
    again = succeed(*stream, "--hybrid", "--mask-learning-rate", 0.01)
    assert "1 tasks learned, 1 were there already" in again.stdout
    assert "hybrid" in succeed("evaluate", "--store", store, *DIGITS, "--trials", 1).stdout


@pytest.mark.parametrize("kind", ["partition", "heterogeneous"])
def test_a_store_of_channel_groups_learns_and_names_its_tasks(tmp_path: Path, kind: str) -> None:
    even = ("--spread", "even") if kind == "partition" else ()
    made = ("--kind", kind, "--size", 4, "--channel-groups", 3, "--precision", "fp16", *even)
    succeed("stream", "--store", tmp_path, *DIGITS, *made, *QUICK, "--tasks", 2)
    store = Store.open(tmp_path)
    assert store.load("permuted-0").tensor_bytes == 3 * 3 * 4 * 2 + EVIDENCE_BYTES
    hybrid = ("--task-id", "h", "--hybrid", "--precision", "fp16")
    succeed("task", "--store", tmp_path, *DIGITS, *QUICK, *hybrid)
    assert store.load("h").tensor_bytes == 2 * 3 * 4 * 2 + 125 + EVIDENCE_BYTES
    evaluated = succeed("evaluate", "--store", tmp_path, *DIGITS, "--trials", 1)
    assert "3 tasks" in evaluated.stdout


def test_a_data_set_as_it_is_becomes_a_task_by_name(store: Path) -> None:
    plain = ("task", "--store", store, *DIGITS, *QUICK)
    refused = run(*plain)
    assert refused.exit_code == 2
    assert "--task-id" in refused.stderr
    succeed(*plain, "--task-id", "digits", "--precision", "int8")
    assert Store.open(store).load("digits").kind == "coefficients"


def test_a_stream_makes_its_store_and_goes_on_with_it(tmp_path: Path) -> None:
    stream = ("stream", "--store", tmp_path, *DIGITS, "--size", 16, *QUICK)
    succeed(*stream, "--tasks", 1)
    again = succeed(*stream, "--tasks", 2)
    assert "1 tasks learned, 1 were there already" in again.stdout
    kept = succeed("stream", "--store", tmp_path, *DIGITS, *QUICK, "--tasks", 2)
    assert "0 tasks learned, 2 were there already" in kept.stdout
    evaluated = succeed(
        *("evaluate", "--store", tmp_path, *DIGITS, "--trials", 1),
        *("--json", tmp_path / "report" / "r.json", "--png", tmp_path / "report" / "r.png"),
    )
    assert "permuted-1" in evaluated.stdout
    assert json.loads((tmp_path / "report" / "r.json").read_text())["summary"]["tasks"] == 2
    assert (tmp_path / "report" / "r.png").stat().st_size > 1000
    assert "entropy of every task" in evaluated.stdout
    scenarios = json.loads((tmp_path / "report" / "r.json").read_text())["scenarios"]
    assert 0 <= scenarios["unknown"][0]["GNu"] <= scenarios["unknown"][0]["GNs"] <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", 32), "was made with size 16, not 32"),
        (("--channel-groups", 2), "was made with channel groups 1, not 2"),
        (("--kind", "random"), "was made with bank partition, not random"),
        (("--store-seed", 1), "was made with seed 0, not 1"),
        (("--outputs", 12), "was made with outputs 10, not 12"),
        (("--image-size", "9x8"), "made with images of 8x8, not 9x8"),
        (("--image-size", "0x8"), "an image size is as 32x24"),
        (("--image-size", "8"), "an image size is as 32x24"),
        (("--image-size", "9999x1"), "an image size is as 32x24"),
        (("--stream", "split", "--classes-per-task", 4, "--tasks", 3), "there is no task 2"),
    ],
)
def test_a_stream_that_the_store_cannot_take_is_refused(
    store: Path, arguments: tuple[object, ...], message: str
) -> None:
    result = run("stream", "--store", store, *DIGITS, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert Store.open(store).task_ids() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("task", *DIGITS, "--task-id", "auto"), "reserved"),
        (("task", *DIGITS, "--task-id", "../x"), "a task name is"),
        (("task", *DIGITS, "--task-id", "x", "--tag", "a,b"), "a tag of 1 to 64 letters"),
        (("task", *DIGITS, "--task-id", "x", "--learning-rate", "nan"), "a learning rate is"),
        (("task", *DIGITS, "--task-id", "x", "--learning-rate", "1e30"), "coefficients must"),
        (("task", *DIGITS, "--stream", "split", "--index", 5), "there is no task 5"),
        (("task", "--data", "/nowhere/to/be/found", "--stream", "split"), "no folder at"),
        (("mask", *DIGITS, "--task-id", "x", "--density", 0), "density is the share kept"),
        (
            ("mask", *DIGITS, "--task-id", "x", "--rule", "threshold", "--density", 0.5),
            "give no density",
        ),
        (("bank", *DIGITS), "holds a store already"),
        (("evaluate", *DIGITS), "no task of the store was made from digits"),
    ],
)
def test_bad_input_is_one_line_and_exit_status_two(
    store: Path, arguments: tuple[object, ...], message: str
) -> None:
    command, *rest = arguments
    result = run(command, "--store", store, *rest)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to ask for")
@pytest.mark.parametrize("command", ["task", "mask", "stream", "bank", "discover", "evaluate"])
def test_a_gpu_that_is_not_there_is_refused_in_words(command: str, tmp_path: Path) -> None:
    named = ("--task-id", "digits") if command in ("task", "mask") else ()
    result = run(command, "--store", tmp_path, *DIGITS, *named, "--device", "cuda")
    assert result.exit_code == 2
    assert "error: cuda was asked for, but" in result.stderr


def test_a_stream_too_short_for_the_impressions_is_refused_before_learning(tmp_path: Path) -> None:
    split = ("--stream", "split", "--kind", "heterogeneous")
    result = run("bank", "--store", tmp_path, *DIGITS, *split, "--size", 6)
    assert result.exit_code == 2
    assert "there is no task 5" in result.stderr
    succeed("bank", "--store", tmp_path, *DIGITS, *split, "--size", 2, *QUICK)
    assert Store.open(tmp_path).network.bank.kind == "heterogeneous"


def test_an_output_that_cannot_be_written_is_said_so(store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "x.safetensors"
    result = run("task", "--store", store, *DIGITS, "--task-id", "x", *QUICK, "--out", out)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")


def test_commands_that_need_a_store_say_where_there_is_none(tmp_path: Path) -> None:
    for command in (("task", "--task-id", "x"), ("mask", "--task-id", "x"), ("evaluate",)):
        result = run(*command, "--store", tmp_path, *DIGITS)
        assert result.exit_code == 2
        assert "no store at" in result.stderr


def test_samples_come_in_the_size_of_the_store(store: Path, tmp_path: Path) -> None:
    succeed("sample", *DIGITS, "--store", store, "--out", tmp_path / "s", "--task-id", "digits")
    body = json.loads((tmp_path / "s" / "digits.json").read_text())
    assert [len(row) for row in body["inputs"]] == [64] * 4


@pytest.mark.slow
def test_the_demo_names_the_right_task_and_is_quick_the_second_time(tmp_path: Path) -> None:
    demo = [sys.executable, "-m", "training", "demo", "--store", "store"]
    subprocess.run(demo, cwd=tmp_path, check=True)
    again = subprocess.run(demo, cwd=tmp_path, check=True, capture_output=True)
    assert b"0 tasks learned, 10 were there already" in again.stdout
    assert not again.stderr
    names = {path.name for path in (tmp_path / "samples").iterdir()}
    assert {"permuted-3.json", "permuted-3-unlabelled.json", "permuted-12.png"} <= names
    report = tmp_path / "report.json"
    succeed("evaluate", "--store", tmp_path / "store", *DIGITS, "--json", report)
    measured = json.loads(report.read_text())
    assert measured["summary"]["mean_test_accuracy"] > 0.95
    assert measured["summary"]["largest_forgetting"] == 0
    assert measured["inference"][-1]["exhaustive"] > 0.99


def test_a_mean_of_no_tasks_is_told_and_a_later_one_counts_them(store: Path) -> None:
    task = ("task", "--store", store, *DIGITS, "--stream", "rotated", *QUICK, "--start", "mean")
    first = succeed(*task, "--index", 0)
    assert "rotated-0: started at random" in first.stdout
    second = succeed(*task, "--index", 1)
    assert "started at random" not in second.stdout
    assert Store.open(store).load("rotated-1").record.provenance["start_tasks"] == 1


def test_a_run_folder_has_a_line_for_each_epoch_and_patience_makes_them_fewer(
    store: Path, tmp_path: Path
) -> None:
    run_folder = tmp_path / "run"
    task = ("task", "--store", store, *DIGITS, "--task-id", "digits", "--epochs", 60)
    succeed(*task, "--patience", 2, "--run", run_folder)
    reached = [float(metric["held_out_accuracy"] or 0) for metric in read_metrics(run_folder)]
    assert 3 <= len(reached) < 60
    assert max(reached[-2:]) <= max(reached[:-2])
    published = Store.open(store).load("digits").record
    assert published.provenance["patience"] == 2
    assert json.loads((run_folder / "config.json").read_text())["epochs"] == 60
    other = run(*task, "--patience", 3, "--run", run_folder)
    assert other.exit_code == 2
    assert "the run with patience 2, not 3" in other.stderr


def test_a_stream_goes_on_in_the_same_run_folder(tmp_path: Path) -> None:
    stream = ("stream", "--store", tmp_path / "store", *DIGITS, "--size", 16, *QUICK)
    for tasks in (1, 2):
        succeed(*stream, "--tasks", tasks, "--run", tmp_path / "run")
    found = [(metric["task"], metric["epoch"]) for metric in read_metrics(tmp_path / "run")]
    assert found == [(task, epoch) for task in ("permuted-0", "permuted-1") for epoch in (1, 2)]


def test_a_run_keeps_the_epochs_of_the_impressions_too(tmp_path: Path) -> None:
    learned = ("--kind", "heterogeneous", "--size", 2, *DIGITS, *QUICK)
    succeed("bank", "--store", tmp_path / "bank", *learned, "--run", tmp_path / "one")
    stream = ("stream", "--store", tmp_path / "stream", *learned, "--tasks", 1)
    succeed(*stream, "--run", tmp_path / "two")
    impressions = [(f"impression-{k}", epoch) for k in (0, 1) for epoch in (1, 2)]
    one, two = (
        [(metric["task"], metric["epoch"]) for metric in read_metrics(tmp_path / name)]
        for name in ("one", "two")
    )
    assert one == impressions
    assert two == [*impressions, ("permuted-0", 1), ("permuted-0", 2)]


@pytest.mark.parametrize("kind", ["partition", "heterogeneous", "atoms"])
def test_the_same_seed_makes_the_same_store_to_the_byte(tmp_path: Path, kind: str) -> None:
    stream = ("stream", *DIGITS, "--kind", kind, "--size", 2, *QUICK, "--tasks", 2)
    on_cpu = ("--device", "cpu")  # a GPU adds up in no fixed order
    hashes = []
    for name in ("first", "second"):
        folder = tmp_path / name
        made = run(*stream, *on_cpu, "--store", folder, env={"SOURCE_DATE_EPOCH": "1700000000"})
        assert made.exit_code == 0, made.output
        files = [path for path in folder.rglob("*") if path.is_file()]
        hashes.append(
            {
                str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in files
            }
        )
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == (4 if kind == "partition" else 5)
    assert Store.open(folder).network.manifest.created.year == 2023


def test_a_mixed_bank_by_an_er_budget_takes_tasks_and_is_told_from_others(tmp_path: Path) -> None:
    stream = ("stream", "--store", tmp_path, *DIGITS, *QUICK, "--tasks", 1)
    mixed = ("--kind", "mixed", "--size", 4)
    unsaid = run(*stream, *mixed)
    assert unsaid.exit_code == 2
    assert "give --learned" in unsaid.stderr
    succeed(*stream, *mixed, "--learned", 2, "--er-scale", 5)
    assert Store.open(tmp_path).network.bank.kept()[0].tolist()[:2] == [5 * (300 + 64)] * 2
    assert Store.open(tmp_path).task_ids() == ["permuted-0"]
    other = run(*stream, *mixed, "--learned", 3)
    assert "was made with learned masks or tasks 2, not 3" in other.stderr
    assert "impressions 0 to 3" in run(*stream, "--start", "one-hot", "--start-index", 4).stderr


def test_a_store_tells_one_er_budget_from_another(tmp_path: Path) -> None:
    bank = ("--store", tmp_path, *DIGITS, *QUICK, "--kind", "heterogeneous", "--size", 1)
    succeed("bank", *bank, "--er-scale", 5)
    succeed("stream", *bank, "--er-scale", 5, "--tasks", 1)
    other = run("stream", *bank, "--er-scale", 6, "--tasks", 1)
    assert "was made with density" in other.stderr


def test_a_creation_time_that_is_none_is_refused(tmp_path: Path) -> None:
    for seconds in ("yesterday", "1e9", str(10**30)):
        made = run("bank", "--store", tmp_path, *DIGITS, env={"SOURCE_DATE_EPOCH": seconds})
        assert made.exit_code == 2
        assert "SOURCE_DATE_EPOCH is whole seconds" in made.stderr


def test_a_task_of_one_class_is_refused_and_counts_are_told(store: Path) -> None:
    split = ("task", "--store", store, *DIGITS, *QUICK, "--stream", "split")
    refused = run(*split, "--classes-per-task", 1)
    assert refused.exit_code == 2
    assert "split-0: a task tells two or more classes apart" in refused.stderr
    learned = succeed(*split)
    assert "split-0: 215 training images of 2 classes: 0 106, 1 109" in learned.stdout


def test_a_store_for_photographs_takes_a_few_of_them_and_skips_what_is_damaged(
    tmp_path: Path,
) -> None:
    for index in range(24):
        name = "cats" if index % 3 else "dogs"
        (tmp_path / "pets" / name).mkdir(parents=True, exist_ok=True)
        picture = Image.effect_noise((90, 70), 40).convert("RGB")
        picture.save(tmp_path / "pets" / name / f"{index}.jpg")
    (tmp_path / "pets" / "cats" / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    pets = ("--store", tmp_path / "store", "--data", tmp_path / "pets")
    refused = run("bank", *pets, "--image-size", "16x12")
    assert refused.exit_code == 2
    assert "(cats/torn.jpg) is no picture" in refused.stderr
    made = succeed("bank", *pets, "--image-size", "16x12", "--skip-unreadable", "--size", 16)
    assert "left out since they cannot be read: 1" in made.stdout
    assert Store.open(tmp_path / "store").network.manifest.preprocessing.input_shape == (3, 12, 16)
    learned = succeed("task", *pets, "--task-id", "pets", "--skip-unreadable", "--epochs", 2)
    assert "training images of 2 classes: cats" in learned.stdout


def test_a_mask_is_learned_as_the_paper_does_for_so_many_steps(store: Path) -> None:
    paper = ("--rule", "threshold", "--optimizer", "rmsprop", "--schedule", "constant")
    mask = ("mask", "--store", store, *DIGITS, "--task-id", "digits", "--steps", 12)
    succeed(*mask, *paper, "--learning-rate", "1e-3")
    provenance = Store.open(store).load("digits").record.provenance
    assert (provenance["most_steps"], provenance["epochs"]) == (12, 2)
    assert provenance["schedule"] == "constant"


def test_tasks_that_nobody_names_are_discovered_and_measured(tmp_path: Path) -> None:
    discover = ("discover", "--store", tmp_path / "store", *DIGITS, "--outputs", 30)
    quick = ("--tasks", 2, "--batches-per-task", 8, "--ask-every", 4, "--tolerance", 100)
    made = succeed(*discover, *quick, "--json", tmp_path / "found.json")
    assert "4 masks discovered in 2 tasks" in made.stdout
    opened = Store.open(tmp_path / "store")
    assert opened.task_ids() == [f"discovered-{mask}" for mask in range(4)]
    assert opened.network.manifest.backbone.outputs == 30
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["tasks"][1]["learned_from"] == {"discovered-2": 4, "discovered-3": 4}
    assert 0 <= found["summary"]["NNs"] <= 1
    again = run(*discover, *quick)
    assert again.exit_code == 2
    assert "holds discovered-0 already" in again.stderr


def test_a_store_in_which_nothing_can_be_discovered_is_not_made(tmp_path: Path) -> None:
    for option, value, message in (
        ("--backbone", "resnet-18-small", "does not normalise, got resnet-18-small"),
        ("--outputs", 5, "10 classes need as many outputs"),
    ):
        refused = run("discover", "--store", tmp_path, *DIGITS, option, value)
        assert refused.exit_code == 2
        assert message in refused.stderr
        assert not list(tmp_path.iterdir())


def test_a_ranked_bank_is_learned_from_its_tasks_and_told_from_others(tmp_path: Path) -> None:
    ranked = ("--kind", "ranked", "--size", 32, "--spread", "root")
    stream = ("stream", "--store", tmp_path, *DIGITS, *QUICK, "--tasks", 3, *ranked)
    assert "give --learned" in run(*stream).stderr
    own = ("--own-layers", "hidden1.weight")
    succeed(*stream, "--learned", 2, *own, "--precision", "int2")
    store = Store.open(tmp_path)
    assert store.task_ids() == [f"permuted-{index}" for index in range(3)]
    assert store.network.bank.origin is not None
    assert not store.network.bank.origin[0].any()
    assert "learned masks or tasks 2, not 3" in run(*stream, "--learned", 3).stderr
    even = ("stream", "--store", tmp_path, *DIGITS, *QUICK, "--tasks", 3, "--spread", "even")
    assert "was made with spread root, not even" in run(*even).stderr
