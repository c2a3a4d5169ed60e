"""Trainer and services on a store in an object store, as real programs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from model_store.locations import location
from model_store.store import Store
from tests.object_stores import BUCKET, REACHED_BY, FaultyProxy, s3_server
from tests.real_parts import running_service
from tests.service.test_replicas import until


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", *arguments], check=True, timeout=200)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_tasks_trained_into_an_object_store_are_served_by_all_who_follow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = ("--data", "digits", "--stream", "permuted")
    store = Path(f"s3://{BUCKET}/a/store")
    url, follow = location(store), {"RECONCILE_SECONDS": "0.5"}
    with s3_server() as endpoint, FaultyProxy(endpoint) as proxy:
        for name, value in (REACHED_BY | {"AWS_ENDPOINT_URL": proxy.endpoint}).items():
            monkeypatch.setenv(name, value)
        run("training", "stream", "--store", url, *stream, "--tasks", "1", "--epochs", "1")
        learned = Store.open(store).load("permuted-0")
        rows = {"inputs": [[[0.5] * 8] * 8]}
        with running_service(store, **follow) as one, running_service(store, **follow) as other:

            def answers(task: str) -> bool:
                asked = other.post("/v1/predict", json={"task": task, **rows})
                assert asked.status_code in (200, 404), asked.text
                return asked.status_code == 200

            assert answers("permuted-0")
            assert one.put("/v1/tasks/uploaded", content=learned.content).status_code == 201
            assert until(lambda: answers("uploaded"))
            assert Store.open(store).publish("published", learned)
            run("model_store", "compact", url)
            assert until(lambda: answers("published"))
            assert one.delete("/v1/tasks/permuted-0").status_code == 204
            assert until(lambda: not answers("permuted-0"))
            proxy.begin(lambda _: "unavailable")
            assert one.put("/v1/tasks/late", content=learned.content).status_code == 503
            assert answers("published")
            proxy.begin(lambda _: None)
            assert one.put("/v1/tasks/late", content=learned.content).status_code == 201
            assert until(lambda: answers("late"))
            os.kill(int(one.headers["X-Pid"]), signal.SIGKILL)
        with running_service(store, **follow) as again:
            listed = again.get("/v1/tasks").json()
            assert {one["task"] for one in listed["tasks"]} == {"late", "published", "uploaded"}
