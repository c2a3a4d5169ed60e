"""The service under load, scraped by a real Prometheus that has the project's own rules."""

import json
import math
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import yaml

from model_store.store import Store
from tests.deploy.promql import filled_in
from tests.real_parts import RedisServer, free_port, program_of_prometheus, running_service
from tests.service.artifacts import MakeArtifact

DEPLOY = Path(__file__).parents[3] / "deploy"
DASHBOARDS = ("service", "tasks")
ROWS = np.random.default_rng(5).random((2, 20), dtype=np.float32)

# So small that something is dropped from either, and read again.
SETTINGS = {
    "REDIS_READ": "always",
    "REDIS_TIMEOUT_MS": "2000",
    "REDIS_MAX_BYTES": "400000",
    "CACHE_BYTES": "500000",
    "RECONCILE_SECONDS": "0.5",
}


@contextmanager
def running_prometheus(folder: Path, target: str) -> Iterator[httpx2.Client]:
    """The project's configuration and rules, on another target and in more of a hurry."""
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    config["global"] = {
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "evaluation_interval": "1s",
    }
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "alerts.yml").write_bytes((DEPLOY / "prometheus/alerts.yml").read_bytes())
    port = free_port()
    arguments: list[str | Path] = [
        program_of_prometheus("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    process = subprocess.Popen(arguments)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            until(lambda: answers(client), "Prometheus is ready")
            yield client
    finally:
        process.terminate()
        process.wait(20)


def answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx2.TransportError:
        return False


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.5)


@contextmanager
def load(service: httpx2.Client, make_artifact: MakeArtifact) -> Iterator[None]:
    """A caller who asks for everything that a caller may, rightly and wrongly, until the end."""
    ended = threading.Event()

    def ask(caller: httpx2.Client, turn: int) -> None:
        rows = ROWS.tolist()
        for task in (f"task-{turn % 4}", "masked", f"masked-{turn % 6}", "nobody-knows-it"):
            caller.post("/v1/predict", json={"task": task, "inputs": rows})
        octets = {"Content-Type": "application/octet-stream"}
        caller.post("/v1/predict?task=task-1", content=ROWS.tobytes(), headers=octets)
        caller.post("/v1/predict", json={"inputs": rows})
        late = {"X-Request-Timeout-Ms": "0.001"}
        caller.post("/v1/predict", json={"task": "task-0", "inputs": rows}, headers=late)
        if turn % 10 == 0:
            # A mask of its own each time, so that there is always something to compose.
            content = make_artifact(turn, kind="supermask").content
            caller.put("/v1/tasks/new", content=content)
        caller.post("/v1/predict", json={"task": "new", "inputs": rows})
        if turn % 50 == 0:
            caller.delete("/v1/tasks/new")

    def keep_asking() -> None:
        with httpx2.Client(base_url=service.base_url, timeout=20) as caller:
            turn = 0
            while not ended.wait(0.02):
                ask(caller, turn)
                turn += 1

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        yield
    finally:
        ended.set()
        asking.join()


def asked(prometheus: httpx2.Client, path: str, **parameters: str) -> Any:
    answer = prometheus.get(f"/api/v1/{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def has_data(prometheus: httpx2.Client, query: str) -> bool:
    """Whether there is a number; a quantile of nothing is none."""
    result = asked(prometheus, "query", query=query)["result"]
    return any(not math.isnan(float(series["value"][1])) for series in result)


def panel_queries() -> dict[str, str]:
    """PromQL by dashboard, panel and letter."""
    found = {}
    for name in DASHBOARDS:
        document = json.loads((DEPLOY / f"grafana/dashboards/{name}.json").read_text())
        for panel in document["panels"]:
            for target in panel.get("targets", ()):
                place = f"{name}: {panel['title']} {target['refId']}"
                found[place] = filled_in(target["expr"])
    return found


def alert_states(prometheus: httpx2.Client) -> dict[str, str]:
    groups = asked(prometheus, "rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert [rule for rule in rules if rule["health"] == "err"] == []
    return {rule["name"]: rule["state"] for rule in rules if rule["type"] == "alerting"}


def exemplar_labels(prometheus: httpx2.Client, query: str) -> list[dict[str, str]]:
    end = time.time()
    found = asked(
        prometheus, "query_exemplars", query=query, start=str(end - 300), end=str(end + 1)
    )
    return [exemplar["labels"] for series in found for exemplar in series["exemplars"]]


@pytest.mark.slow
def test_every_panel_has_data_and_alerts_see_what_goes_wrong(
    store: Store, own_redis: RedisServer, make_artifact: MakeArtifact, tmp_path: Path
) -> None:
    for seed in range(6):
        store.publish(f"masked-{seed}", make_artifact(seed, kind="supermask"))
    folder, settings = Path(str(store.files)), {"REDIS_URL": own_redis.url} | SETTINGS
    with (
        running_service(folder, **settings) as service,
        running_prometheus(tmp_path, f"127.0.0.1:{service.base_url.port}") as prometheus,
        load(service, make_artifact),
    ):
        missing = panel_queries()
        assert len(missing) > 50

        def all_have_data() -> bool:
            for place, query in list(missing.items()):
                if has_data(prometheus, query):
                    del missing[place]
            return not missing

        try:
            until(all_have_data, "every panel has data")
        except TimeoutError:
            assert missing == {}

        until(lambda: alert_states(prometheus)["ImpressErrorsPage"] != "inactive", "errors show")
        assert alert_states(prometheus)["ImpressRedisDown"] == "inactive"
        own_redis.kill()
        until(lambda: alert_states(prometheus)["ImpressRedisDown"] != "inactive", "Redis shows")

        entropies = exemplar_labels(prometheus, "impress_inference_entropy_nats_bucket")
        assert {labels["task"] for labels in entropies} <= set(store.task_ids()) | {"new"}
        assert entropies

        durations = exemplar_labels(prometheus, "impress_http_request_duration_seconds_bucket")
        assert all(labels["request_id"] for labels in durations)
        assert {"task-1", "masked"} & {labels.get("task", "") for labels in durations}

        # Not a label's value, of whatever series, is or holds a task's name.
        for label in asked(prometheus, "labels"):
            values = asked(prometheus, f"label/{label}/values")
            named = [value for value in values if any(task in value for task in store.task_ids())]
            assert named == [], label
