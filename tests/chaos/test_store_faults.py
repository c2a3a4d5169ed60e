"""A store that is full, locked, damaged or of a later version, under a real service."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from model_store.segment_list import LIST_FILE, segment_path
from model_store.store import MANIFEST_FILE, Store
from model_store.verify import verify_store
from tests.chaos.steady_load import SteadyLoad, logits
from tests.damage import damage_content
from tests.faults import Faults
from tests.model_store.test_interrupted_writes import PUBLISH_FOR_EVER
from tests.real_parts import PlainUsersService, running, running_service
from tests.service.artifacts import MakeArtifact
from tests.service.test_replicas import ready, sample, until

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(1800)]

QUICK = {"RECONCILE_SECONDS": "0.1"}
ROOT = Path(__file__).parents[2]


def folder_of(store: Store) -> Path:
    return Path(str(store.files))


def put(client: httpx2.Client, task: str, content: bytes) -> httpx2.Response:
    return client.put(f"/v1/tasks/{task}", content=content)


def expected_of(client: httpx2.Client) -> dict[str, bytes]:
    return {task: logits(client, task) for task in ("masked", "task-0", "task-1")}


def loaded(client: httpx2.Client, expected: dict[str, bytes]) -> SteadyLoad:
    assert client.base_url.port is not None
    return SteadyLoad([client.base_url.port], expected, callers=2)


def note(faults: Faults, what: str, load: SteadyLoad, times: int = 1) -> None:
    print(f"{what}: {dict(load.outcomes)}")
    faults.add(
        "Store", what, times=times, checked=load.outcomes.total(), of="predictions", lost=load.lost
    )
    assert load.lost == 0
    assert load.outcomes["right"] > 20


def assert_whole(store: Store, tasks: set[str]) -> None:
    assert set(Store.open(folder_of(store)).task_ids()) == tasks
    findings = verify_store(folder_of(store)).findings
    assert all("left over" in finding.problem for finding in findings), findings


BEFORE = {"task-0", "task-1", "task-2", "task-3", "masked"}


def test_full_disk_refuses_uploads_and_serves_on(
    store: Store, make_artifact: MakeArtifact, faults: Faults
) -> None:
    """A limit on the size of files that cuts an append in the middle, as a full disk does."""
    segment = folder_of(store) / segment_path(store.log.segments[-1])
    content = make_artifact(50).content
    with running_service(folder_of(store), **QUICK) as client:
        with loaded(client, expected_of(client)) as load:
            pid = int(client.headers["X-Pid"])
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            room = segment.stat().st_size + len(content) // 2
            for left in (room, 64, 64):  # first for the half of it, then for nothing at all
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (left, hard))
                refused = put(client, "new", content)
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                assert "store cannot be used now" in refused.json()["detail"]
            assert client.get("/readyz").status_code == 200
            time.sleep(0.5)
        note(faults, "full disk, within an append", load)
    assert_whole(store, BEFORE)
    Store.open(folder_of(store)).publish("new", make_artifact(50))
    assert_whole(store, BEFORE | {"new"})


def test_store_that_may_not_be_written_refuses_uploads_and_serves_on(
    store: Store, make_artifact: MakeArtifact, faults: Faults
) -> None:
    content, folder = make_artifact(50).content, folder_of(store)
    locked = [folder, folder / "segments", *(folder / "segments").iterdir()]
    modes = {path: path.stat().st_mode for path in locked}
    with running(PlainUsersService(folder, **QUICK)) as client:
        with loaded(client, expected_of(client)) as load:
            for path, mode in modes.items():
                path.chmod(mode & 0o555)
            refused = put(client, "new", content)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert "Permission denied" in refused.json()["detail"]
            # Nothing changed: what can be read is in step.
            assert client.get("/readyz").status_code == 200
            for path, mode in modes.items():
                path.chmod(mode)
            assert until(lambda: put(client, "new", content).status_code in (200, 201))
            time.sleep(0.5)
        note(faults, "no permission to write", load)
    assert_whole(store, BEFORE | {"new"})


def flip_a_bit(folder: Path) -> None:
    damage_content(folder, "task-3")


def cut_a_segment(folder: Path) -> None:
    store = Store.open(folder)
    entry = store.log.current_entry("task-3")
    assert entry is not None
    os.truncate(folder / segment_path(entry.segment), entry.end - 40)


@pytest.mark.parametrize(
    ("what", "damage", "names"),
    [("a flipped bit", flip_a_bit, {"task-3"}), ("a segment cut short", cut_a_segment, set())],
)
def test_damage_costs_the_damaged_task_alone_and_is_told(
    store: Store,
    make_artifact: MakeArtifact,
    faults: Faults,
    what: str,
    damage: Callable[[Path], None],
    names: set[str],
) -> None:
    store.delete("masked")
    store.publish("masked", make_artifact(99, kind="supermask"))
    store.publish("task-3", make_artifact(98))  # the last one, whose end is the segment's
    folder = folder_of(store)
    with running_service(folder, **QUICK) as client:
        with loaded(client, expected_of(client)) as load:
            damage(folder)
            if names:
                body = {"task": "task-3", "inputs": [[0.5] * 20]}
                gone = until(lambda: client.post("/v1/predict", json=body).status_code == 404)
                assert gone
                assert names <= set(ready(client)["damaged_tasks"])  # type: ignore[call-overload]
                assert sample(client, "impress_tasks_damaged") == 1
            # Whatever is damaged, a task is published anew and all is well.
            healed = put(client, "task-3", make_artifact(97).content)
            assert healed.status_code in (200, 201), healed.text
            time.sleep(0.5)
        note(faults, f"{what}, under the running service", load)
    opened = Store.open(folder)
    assert set(opened.task_ids()) == BEFORE
    for task, seed in (("task-0", 0), ("task-1", 1), ("task-2", 2), ("task-3", 97)):
        assert opened.load(task).content == make_artifact(seed).content


def later_version(path: Path) -> None:
    said = json.loads(path.read_text())
    said["version"] += 1
    path.write_text(json.dumps(said))


def test_list_that_may_not_be_read_stops_following_and_nothing_else(
    store: Store, make_artifact: MakeArtifact, faults: Faults
) -> None:
    path = folder_of(store) / LIST_FILE
    mode = path.stat().st_mode
    with running(PlainUsersService(folder_of(store), **QUICK)) as client:
        with loaded(client, expected_of(client)) as load:
            path.chmod(0)
            # Whoever changes the list takes its place, so that it must be read anew.
            Store.open(folder_of(store)).publish("other", make_artifact(51))
            path.chmod(0)
            assert until(lambda: "Permission denied" in str(ready(client)["store"]))
            assert sample(client, "impress_registry_lag_seconds") > 0
            refused = put(client, "new", make_artifact(50).content)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            path.chmod(mode)
            assert until(lambda: ready(client)["store"] == "in step")
            assert put(client, "new", make_artifact(50).content).status_code == 201
            time.sleep(0.5)
        note(faults, "no permission to read", load)
    assert_whole(store, BEFORE | {"new", "other"})


def test_list_of_a_later_version_stops_following_and_nothing_else(
    store: Store, make_artifact: MakeArtifact, faults: Faults
) -> None:
    path = folder_of(store) / LIST_FILE
    earlier = path.read_bytes()
    with running_service(folder_of(store), **QUICK) as client:
        with loaded(client, expected_of(client)) as load:
            later_version(path)
            assert until(lambda: "expected version" in str(ready(client)["store"]))
            assert sample(client, "impress_registry_lag_seconds") > 0
            refused = put(client, "new", make_artifact(50).content)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            path.write_bytes(earlier)
            assert until(lambda: ready(client)["store"] == "in step")
            time.sleep(0.5)
        note(faults, "a list of segments of a later version, under the running service", load)
    assert_whole(store, BEFORE)


@pytest.mark.parametrize("name", [MANIFEST_FILE, LIST_FILE])
def test_start_on_a_store_of_a_later_version_is_refused_with_a_sentence(
    store: Store, faults: Faults, name: str
) -> None:
    later_version(folder_of(store) / name)
    started = subprocess.run(
        [sys.executable, "-m", "service", "--store", str(folder_of(store)), "--port", "1024"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    said = f"error: {name}: "
    faults.add(
        "Store",
        f"{name} of a later version at the start",
        times=1,
        checked=1,
        of="starts, refused with a sentence",
        lost=int(started.returncode != 2 or said not in started.stderr),
    )
    assert started.returncode == 2
    assert said in started.stderr
    assert "version" in started.stderr


def test_two_publishers_killed_again_and_again_undo_none_of_each_others_work(
    store: Store, tmp_path: Path, make_artifact: MakeArtifact, faults: Faults
) -> None:
    kills = 500 if faults.is_long else 5
    folder, dice = folder_of(store), random.Random(2)
    artifacts = [make_artifact(seed) for seed in (1, 2)]
    paths = [tmp_path / "first", tmp_path / "second"]
    for path, artifact in zip(paths, artifacts, strict=True):
        path.write_bytes(artifact.content)
    said = [tmp_path / "said-by-one", tmp_path / "said-by-other"]
    publishers = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISH_FOR_EVER, *map(str, (folder, log, *paths))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for log in said
    ]
    for turn in range(kills):
        children = []
        for who, publisher in enumerate(publishers):
            assert publisher.stdin is not None
            assert publisher.stdout is not None
            publisher.stdin.write(f"{who}-{turn}\n")
            publisher.stdin.flush()
            children.append(int(publisher.stdout.readline()))
        for child, publisher in zip(children, publishers, strict=True):
            assert publisher.stdout is not None
            time.sleep(dice.uniform(0.001, 0.06))
            os.kill(child, signal.SIGKILL)
            assert publisher.stdout.readline() == "dead\n"
    for publisher in publishers:
        publisher.communicate()
    opened = Store.open(folder)
    acknowledged = {name for log in said for name in log.read_text().split()}
    right = {artifact.content for artifact in artifacts}
    whole = {name for name in acknowledged if opened.load(name).content in right}
    faults.add(
        "Store",
        "one of two publishers at once killed (kill -9) at a random moment",
        times=2 * kills,
        checked=len(acknowledged),
        of="acknowledged tasks, whole",
        lost=len(acknowledged - whole),
    )
    assert whole == acknowledged
    assert len(acknowledged) > kills
    findings = verify_store(folder).findings
    assert all("left over" in finding.problem for finding in findings), findings
