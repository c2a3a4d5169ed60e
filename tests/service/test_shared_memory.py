"""Two real services of one store, and how much of their tasks' memory they have in common."""

import os
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np
import pytest

from model_store.store import Store
from tests.real_parts import ServiceProcess, running
from tests.service.artifacts import MakeArtifact

MEMORY = Path("/dev/shm")
MASKS, DISTINCT = 1500, 20
ROW = np.full((1, 20), 0.5, np.float32).tobytes()
RAW = {"Content-Type": "application/octet-stream", "Accept": "application/octet-stream"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MEMORY.is_dir(), reason=f"there is no {MEMORY}"),
]


def exists(path: str) -> bool:
    return Path(path).exists()


@dataclass
class Common:
    """Of a process's mappings of files in memory: the files, bytes there, and its share of them."""

    files: set[str]
    resident: int
    share: int


def common_of(pid: int) -> Common:
    found, ours = Common(set(), 0, 0), False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, said = line.partition(":")
        if "-" in line.split()[0]:
            ours = str(MEMORY / "impress-") in line
            if ours:
                found.files.add(line.split()[-1])
        elif ours and name == "Rss":
            found.resident += 1024 * int(said.split()[0])
        elif ours and name == "Pss":
            found.share += 1024 * int(said.split()[0])
    return found


@pytest.fixture
def many(store: Store, make_artifact: MakeArtifact) -> int:
    """A store with so many masks that they are worth a block; how many bytes they are."""
    made = [make_artifact(seed, kind="supermask") for seed in range(DISTINCT)]
    store.publish_many((f"mask-{index}", made[index % DISTINCT]) for index in range(MASKS))
    return MASKS * made[0].tensor_bytes


def pid_of(client: httpx2.Client) -> int:
    return int(client.headers["X-Pid"])


def answer(client: httpx2.Client, task: str) -> bytes:
    answered = client.post("/v1/predict", params={"task": task}, content=ROW, headers=RAW)
    assert answered.status_code == 200, answered.text
    return answered.content


def test_two_processes_have_their_tasks_once_and_answer_alike(
    store: Store, many: int, make_artifact: MakeArtifact
) -> None:
    folder = Path(str(store.files))
    asked = [f"mask-{index}" for index in (0, 7, MASKS - 1)] + ["task-0"]
    with ExitStack() as second_too, running(ServiceProcess(folder)) as first:
        alone = common_of(pid_of(first))
        assert alone.resident >= 0.9 * many
        assert alone.share >= 0.9 * alone.resident
        answers = [answer(first, task) for task in asked]
        second = second_too.enter_context(running(ServiceProcess(folder)))
        for client in (first, second):
            both = common_of(pid_of(client))
            assert both.files == alone.files
            assert 0.9 * many <= both.resident
            assert both.share <= 0.6 * both.resident
            assert [answer(client, task) for task in asked] == answers
        # What one of them changes is its own, and hurts nobody.
        content = make_artifact(DISTINCT + 1, kind="supermask").content
        first.put("/v1/tasks/mask-7", content=content).raise_for_status()
        assert answer(first, "mask-7") != answers[1]
        assert answer(first, "mask-0") == answer(second, "mask-0") == answers[0]
        second_too.close()
        assert common_of(pid_of(first)).share >= 0.9 * alone.resident
        assert answer(first, asked[0]) == answers[0]
    assert not any(map(exists, alone.files))


def test_what_a_killed_process_left_serves_the_next_or_is_removed_by_it(
    store: Store, many: int
) -> None:
    folder = Path(str(store.files))
    with running(ServiceProcess(folder)) as first:
        left = common_of(pid_of(first)).files
        answered = answer(first, "mask-3")
        os.kill(pid_of(first), signal.SIGKILL)
    assert left
    assert all(map(exists, left))
    with running(ServiceProcess(folder)) as second:
        assert common_of(pid_of(second)).files == left
        assert answer(second, "mask-3") == answered
        os.kill(pid_of(second), signal.SIGKILL)
    store.publish_many([(f"mask-{index}", store.load("mask-0")) for index in range(0, MASKS, 2)])
    with running(ServiceProcess(folder)) as third:
        now = common_of(pid_of(third)).files
        assert now
        assert set(filter(exists, left)) <= now
    assert not any(map(exists, left | now))


def test_each_has_its_own_where_it_is_told_so(store: Store, many: int) -> None:
    with running(ServiceProcess(Path(str(store.files)), SHARE_TASKS="false")) as client:
        assert common_of(pid_of(client)) == Common(set(), 0, 0)
        answer(client, "mask-1")
