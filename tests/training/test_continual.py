"""Many tasks into one store, one after the other."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from masked_network.backbones import forward
from model_store.network import FrozenNetwork
from model_store.store import Store
from model_store.verify import verify_store
from training.coefficients import CoefficientRecipe
from training.continual import PlannedTask, plan_tasks, publish_tasks, unpublished
from training.errors import OptionError
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.task_streams import TaskStream

STREAM = [
    *(sys.executable, "-m", "training", "stream", "--data", "digits"),
    *("--tasks", "12", "--size", "16", "--epochs", "6", "--device", "cpu"),
]


def plan(digits: ImageSet, tasks: int, seed: int = 0) -> list[PlannedTask]:
    return plan_tasks(
        digits,
        TaskStream("permuted"),
        range(tasks),
        lambda _: CoefficientRecipe(FitOptions(1, 0.2, 128, seed=seed), "fp16"),
    )


def test_published_tasks_are_not_learned_again(
    tmp_path: Path, network: FrozenNetwork, digits: ImageSet
) -> None:
    store = Store.create(tmp_path, network)
    publish_tasks(store, plan(digits, 2))
    left = unpublished(store, plan(digits, 4))
    assert [task.task_id for task in left] == ["permuted-2", "permuted-3"]


def test_a_task_that_was_made_otherwise_is_refused(
    tmp_path: Path, network: FrozenNetwork, digits: ImageSet
) -> None:
    store = Store.create(tmp_path, network)
    publish_tasks(store, plan(digits, 1))
    with pytest.raises(OptionError, match="permuted-0 was made with seed 0, not 1"):
        unpublished(store, plan(digits, 2, seed=1))


def test_logits_of_the_first_task_are_bit_identical_after_fifty_more(
    tmp_path: Path, network: FrozenNetwork, digits: ImageSet
) -> None:
    store = Store.create(tmp_path, network)
    publish_tasks(store, plan(digits, 1))
    inputs = digits.test.examples(network.manifest.preprocessing).inputs
    before = forward(network.backbone, network.composed(store.load("permuted-0")), inputs)
    artifact = store.load("permuted-0")
    for index in range(1, 51):
        coefficients = torch.randn_like(artifact.tensors["coefficients"])
        other = type(artifact)(artifact.record, {"coefficients": coefficients})
        store.publish(f"task-{index}", other)
    reopened = Store.open(tmp_path).network
    weights = reopened.composed(Store.open(tmp_path).load("permuted-0"))
    assert torch.equal(forward(reopened.backbone, weights, inputs), before)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["randn", "mean"])
def test_a_killed_run_goes_on_where_it_stopped_and_ends_the_same(
    tmp_path: Path, start: str
) -> None:
    command = [*STREAM, "--start", start, "--store"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, str(whole)], check=True, env=environment)
    process = subprocess.Popen([*command, str(killed)], env=environment)
    listed = killed / "segments" / "list.json"
    deadline = time.monotonic() + 60
    while not (listed.exists() and b"[1]" in listed.read_bytes()) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = Store.open(killed).task_ids()
    assert "permuted-0" in done
    assert len(done) < 12
    again = subprocess.run(
        [*command, str(killed)], check=True, env=environment, stdout=subprocess.PIPE
    )
    assert (
        f"{12 - len(done)} tasks learned, {len(done)} were there already" in again.stdout.decode()
    )
    opened = [Store.open(folder) for folder in (whole, killed)]
    hashes = [{task: store.current_hash(task) for task in store.task_ids()} for store in opened]
    assert hashes[0] == hashes[1]
    assert verify_store(killed).tasks == 12
