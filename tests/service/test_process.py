"""The service as a real process, with a real Redis: signals, restarts, faults."""

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import httpx2
import numpy as np
import pytest
import redis

from model_store.store import Store
from tests.faults import Faults
from tests.real_parts import RedisServer, running_service
from tests.service.alike import alike
from tests.service.artifacts import MakeArtifact

ROWS = np.random.default_rng(3).random((3, 20), dtype=np.float32).tolist()


def logits(client: httpx2.Client, task: str) -> list[float]:
    """The logits; fp32 is written so that it reads back exactly, so equal lists are equal bits."""
    tensor = {"name": "inputs", "shape": [len(ROWS), 20], "datatype": "FP32", "data": ROWS}
    body = {"inputs": [tensor], "outputs": [{"name": "logits"}]}
    answer = client.post(f"/v2/models/{task}/infer", json=body)
    answer.raise_for_status()
    found: list[float] = answer.json()["outputs"][0]["data"]
    return found


def sample(client: httpx2.Client, name: str) -> float:
    for line in client.get("/metrics").text.splitlines():
        if line.startswith(name + " "):
            return float(line.rpartition(" ")[2])
    raise LookupError(name)


def test_uploaded_task_survives_a_restart(store: Store, make_artifact: MakeArtifact) -> None:
    folder = Path(str(store.files))
    with running_service(folder) as client:
        client.put(
            "/v1/tasks/new", content=make_artifact(50, kind="hybrid").content
        ).raise_for_status()
        before = logits(client, "new")
        os.kill(int(client.headers["X-Pid"]), signal.SIGKILL)
    with running_service(folder) as client:
        assert logits(client, "new") == before


def test_fifty_more_tasks_leave_the_first_bit_identical(
    store: Store, make_artifact: MakeArtifact
) -> None:
    store.publish("hybrid", make_artifact(7, kind="hybrid"))
    with running_service(Path(str(store.files))) as client:
        before = {task: logits(client, task) for task in ("task-0", "hybrid", "masked")}
        for seed in range(100, 150):
            put = client.put(f"/v1/tasks/more-{seed}", content=make_artifact(seed).content)
            assert put.status_code == 201
            logits(client, f"more-{seed}")
        assert sample(client, "impress_tasks_registered") == 56
        assert alike(logits(client, "task-0"), before["task-0"])
        # What has composed weights alone has one path, and the same bits.
        for task in ("hybrid", "masked"):
            assert logits(client, task) == before[task]


def test_terminated_service_drains_before_it_stops(store: Store) -> None:
    with running_service(Path(str(store.files)), DRAIN_SECONDS="2") as client:
        pid = int(client.headers["X-Pid"])
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 1.5
        while client.get("/readyz").status_code == 200:
            assert time.monotonic() < deadline
        assert client.get("/livez").status_code == 200
        assert logits(client, "task-0")


def test_rows_of_a_caller_who_left_are_never_computed(store: Store) -> None:
    with running_service(Path(str(store.files)), MAX_BATCH_DELAY_MS="1000") as client:
        logits(client, "task-0")
        computed = sample(client, "impress_batch_rows_sum")
        with pytest.raises(httpx2.TimeoutException):
            client.post("/v1/predict", json={"task": "task-0", "inputs": ROWS}, timeout=0.3)
        deadline = time.monotonic() + 10
        while sample(client, 'impress_rejected_total{reason="left"}') < 1:
            assert time.monotonic() < deadline
        assert sample(client, "impress_queue_rows") == 0
        time.sleep(1)
        assert sample(client, "impress_batch_rows_sum") == computed


def test_redis_shares_composed_weights_between_restarts(
    store: Store, own_redis: RedisServer
) -> None:
    # A task with a mask of its own is composed when it is first asked for.
    folder = Path(str(store.files))
    always = {"REDIS_TIMEOUT_MS": "2000", "REDIS_READ": "always", "REDIS_WARM_SECONDS": "0"}
    settings = {"REDIS_URL": own_redis.url} | always
    with running_service(folder, **settings) as client:
        assert client.get("/readyz").json()["redis"] == "up"
        # Once is no reason to share it, twice is.
        before = logits(client, "masked")
        assert logits(client, "masked") == before
        deadline = time.monotonic() + 10
        with redis.Redis.from_url(own_redis.url) as shared:
            while not shared.keys("impress:composed:*"):
                assert time.monotonic() < deadline
    with running_service(folder, **settings) as client:
        assert logits(client, "masked") == before
        assert sample(client, 'impress_cache_hits_total{tier="redis"}') == 1
        assert sample(client, "impress_compose_duration_seconds_count") == 0


def test_new_replica_has_the_fleets_hot_tasks_before_it_is_ready(
    store: Store, own_redis: RedisServer
) -> None:
    folder = Path(str(store.files))
    with running_service(folder, REDIS_URL=own_redis.url, REDIS_TIMEOUT_MS="2000") as client:
        for _ in range(3):
            logits(client, "masked")
        assert client.get("/debug/plan").json()["redis"]["fetch_us"] > 0
    with running_service(folder, REDIS_URL=own_redis.url, REDIS_TIMEOUT_MS="2000") as client:
        assert sample(client, "impress_cache_bytes") > 0
        logits(client, "masked")
        assert sample(client, 'impress_cache_hits_total{tier="process"}') == 1


def redis_until(client: httpx2.Client, wanted: str) -> str:
    """What the service says of Redis: the state wanted, or after 20 s whichever it is in."""
    deadline = time.monotonic() + 20
    while (state := str(client.get("/readyz").json()["redis"])) != wanted:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return state


@pytest.mark.chaos
@pytest.mark.slow
def test_killed_redis_costs_no_prediction(
    store: Store, own_redis: RedisServer, make_artifact: MakeArtifact, faults: Faults
) -> None:
    """Steady load on many tasks, a cache too small to hold them, Redis killed and started again."""
    for seed in range(200, 230):
        # Of masks of their own, whose weights are composed or fetched, whatever is planned.
        store.publish(f"load-{seed}", make_artifact(seed, kind="supermask"))
    tasks = [f"load-{seed}" for seed in range(200, 230)]
    settings = {"REDIS_URL": own_redis.url, "CACHE_BYTES": "600000", "REDIS_READ": "always"}
    with running_service(Path(str(store.files)), **settings) as client:
        expected = {task: logits(client, task) for task in tasks}
        outcomes: Counter[str] = Counter()
        stop = threading.Event()

        def ask(seed: int) -> None:
            chosen = np.random.default_rng(seed)
            with httpx2.Client(base_url=client.base_url, timeout=20) as own:
                while not stop.is_set():
                    task = str(chosen.choice(tasks))
                    try:
                        # Rows that share a forward pass may differ in the last bits.
                        right = np.allclose(logits(own, task), expected[task], atol=1e-5)
                        outcomes["right" if right else "wrong"] += 1
                    except httpx2.HTTPError as error:
                        outcomes[repr(error)] += 1

        callers = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
        for caller in callers:
            caller.start()
        time.sleep(1)
        own_redis.kill()
        time.sleep(2)
        at_kill = redis_until(client, "down")
        own_redis.start()
        time.sleep(2)
        after_return = redis_until(client, "up")
        stop.set()
        for caller in callers:
            caller.join()
        hits = sample(client, 'impress_cache_hits_total{tier="redis"}')
        errors = sum(
            sample(client, line.rpartition(" ")[0])
            for line in client.get("/metrics").text.splitlines()
            if line.startswith("impress_redis_errors_total{")
        )
    print(f"answers: {dict(outcomes)}, Redis hits: {hits:.0f}, Redis errors: {errors:.0f}")
    faults.add(
        "Redis",
        "killed under load on many more tasks than fit in the process",
        times=1,
        checked=outcomes.total(),
        of="predictions",
        lost=outcomes.total() - outcomes["right"],
    )
    assert set(outcomes) == {"right"}
    assert outcomes["right"] > 100
    assert (at_kill, after_return) == ("down", "up")
    assert hits > 0
    assert errors > 0
