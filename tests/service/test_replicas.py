"""Two services on one store as real processes, with a real Redis and without one."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from model_store.store import Store
from tests.damage import damage_content
from tests.real_parts import RedisServer, running_service
from tests.service.artifacts import MakeArtifact

ROWS = [[0.5] * 20]
NEVER = "3600"

PUBLISH = """
import sys
from pathlib import Path
from model_store.store import Store
from model_store.task_artifact import parse_artifact

Store.open(Path(sys.argv[1])).publish(sys.argv[2], parse_artifact(Path(sys.argv[3]).read_bytes()))
"""


def answers(client: httpx2.Client, task: str) -> bool:
    answer = client.post("/v1/predict", json={"task": task, "inputs": ROWS})
    assert answer.status_code in (200, 404), answer.text
    return answer.status_code == 200


def ready(client: httpx2.Client) -> dict[str, object]:
    answer = client.get("/readyz")
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def until(holds: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def in_step(one: httpx2.Client, other: httpx2.Client) -> bool:
    return ready(one)["version"] == ready(other)["version"]


def sample(client: httpx2.Client, name: str) -> float:
    (line,) = [
        line for line in client.get("/metrics").text.splitlines() if line.startswith(name + " ")
    ]
    return float(line.rpartition(" ")[2])


@pytest.mark.chaos
@pytest.mark.slow
def test_upload_to_one_answers_on_the_other_whatever_happens_to_redis(
    store: Store, own_redis: RedisServer, make_artifact: MakeArtifact
) -> None:
    """The interval is longer than the test but for one replica, so that nudges must do it."""
    folder, redis = Path(str(store.files)), {"REDIS_URL": own_redis.url, "REDIS_TIMEOUT_MS": "2000"}
    with (
        running_service(folder, RECONCILE_SECONDS=NEVER, **redis) as one,
        running_service(folder, RECONCILE_SECONDS=NEVER, **redis) as other,
    ):
        one.put("/v1/tasks/new", content=make_artifact(50).content).raise_for_status()
        assert until(lambda: answers(other, "new"))
        other.put("/v1/tasks/task-0", content=make_artifact(51).content).raise_for_status()
        other.delete("/v1/tasks/task-1").raise_for_status()
        assert until(lambda: not answers(one, "task-1") and in_step(one, other))
        assert sample(one, "impress_nudges_received_total") >= 1

        own_redis.kill()
        assert until(lambda: "down" == ready(one)["redis"] == ready(other)["redis"])
        one.put("/v1/tasks/meanwhile", content=make_artifact(52).content).raise_for_status()
        time.sleep(0.2)
        assert not answers(other, "meanwhile")
        own_redis.start()
        assert until(lambda: answers(other, "meanwhile"))
        assert until(lambda: "up" == ready(one)["redis"] == ready(other)["redis"])
        one.put("/v1/tasks/after", content=make_artifact(53).content).raise_for_status()
        assert until(lambda: answers(other, "after") and in_step(one, other))


@pytest.mark.slow
def test_without_redis_what_anyone_does_to_the_store_is_found_by_looking(
    store: Store, tmp_path: Path, make_artifact: MakeArtifact
) -> None:
    folder, artifact = Path(str(store.files)), tmp_path / "artifact"
    artifact.write_bytes(make_artifact(50).content)
    with (
        running_service(folder, RECONCILE_SECONDS="0.1") as one,
        running_service(folder, RECONCILE_SECONDS="0.1") as other,
    ):
        before = ready(one)["version"]
        one.put("/v1/tasks/new", content=make_artifact(51).content).raise_for_status()
        assert until(lambda: answers(other, "new"))
        trainer = [sys.executable, "-c", PUBLISH, str(folder), "trained", str(artifact)]
        subprocess.run(trainer, check=True, cwd=Path(__file__).parents[2])
        assert until(lambda: answers(one, "trained") and answers(other, "trained"))
        subprocess.run(
            [sys.executable, "-m", "model_store", "compact", str(folder)],
            check=True,
            cwd=Path(__file__).parents[2],
        )
        for name in ("new", "trained"):
            other.delete(f"/v1/tasks/{name}").raise_for_status()
        assert until(lambda: ready(one)["version"] == before == ready(other)["version"])
        damage_content(folder, "task-2")
        for client in (one, other):
            assert until(lambda client=client: not answers(client, "task-2"))  # type: ignore[misc]
            assert "task-2" in str(ready(client)["damaged_tasks"])
            assert answers(client, "task-0")
            assert sample(client, "impress_registry_lag_seconds") < 20
