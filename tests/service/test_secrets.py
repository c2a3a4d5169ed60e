"""What is secret in the settings or a request is in nothing that the service says."""

import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
import redis

from model_store.store import Store
from tests.real_parts import RedisServer, ServiceProcess, free_port
from tests.service.access.key_files import scoped, written
from tests.service.trace_collector import collecting

pytestmark = pytest.mark.slow

PASSWORD, KEY, TOKEN, VALUE = "pass-of-redis", "key-of-store", "token-of-caller", "0.123456789"
JSON = {"Content-Type": "application/json"}


def test_secrets_are_in_no_log_and_no_answer(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis is away, so that there is much to be said of it; the log says all that it can."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    service = ServiceProcess(
        Path(str(store.files)),
        REDIS_URL=f"redis://someone:{PASSWORD}@127.0.0.1:{free_port()}/0",
        LOG_LEVEL="debug",
        ACCESS_LOG="true",
    )
    log = tmp_path / "log"
    with log.open("wb") as file:
        try:
            service.start(log=file)
            url = f"http://127.0.0.1:{service.port}"
            with httpx2.Client(
                base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}
            ) as asking:
                row = f'{{"task": "task-0", "inputs": [[{",".join([VALUE] * 20)}]]}}'
                answers = [
                    asking.post("/v1/predict", content=row, headers=JSON),
                    asking.post("/v1/predict", content=row[:-2], headers=JSON),
                    asking.put("/v1/tasks/new", content=TOKEN.encode()),
                    *(asking.get(path) for path in ("/readyz", "/metrics", "/debug/plan")),
                ]
        finally:
            service.stop()
    assert [answer.status_code for answer in answers] == [200, 400, 400, 200, 200, 200]
    said = log.read_text()
    assert "Redis" in said
    assert "/v1/predict" in said
    for secret in (PASSWORD, KEY, TOKEN, VALUE):
        assert secret not in said
        assert not any(secret in answer.text for answer in answers)


@pytest.mark.parametrize("form", ["json", "console"])
def test_keys_are_in_no_log_no_answer_no_audit_and_no_trace(
    store: Store, tmp_path: Path, form: str, own_redis: RedisServer
) -> None:
    """Good and bad ones, let in and refused; one in a query; and a Redis that wants another."""
    with redis.Redis(port=own_redis.port) as commands:
        commands.config_set("requirepass", "of the real one")
    keys = written(
        tmp_path / "keys.json",
        app=scoped("predict", requests_per_second=0.01, burst_seconds=300),
        maker=scoped("publish"),
    )
    secret = keys["app"].partition(" ")[2]
    redis_url = f"redis://127.0.0.1:{own_redis.port}/0?password={PASSWORD}"
    with collecting() as (collector, endpoint):
        service = ServiceProcess(
            Path(str(store.files)),
            REDIS_URL=redis_url,
            KEYS_FILE=str(tmp_path / "keys.json"),
            AUDIT_FILE=str(tmp_path / "audit"),
            LOG_LEVEL="debug",
            LOG_FORMAT=form,
            ACCESS_LOG="true",
            SLOW_REQUEST_MS="0.001",
            TRACE_SHARE="1",
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_EXPORTER_OTLP_HEADERS=f"x-key={KEY}",
        )
        answers = []
        with (tmp_path / "log").open("wb") as file:
            try:
                service.start(log=file)
                url = f"http://127.0.0.1:{service.port}"
                row = {"task": "task-0", "inputs": [[0.5] * 20]}
                with httpx2.Client(base_url=url) as asking:
                    for said in (keys["app"], f"Bearer {TOKEN}", f"Basic {TOKEN}", keys["maker"]):
                        headers = {"Authorization": said, "X-API-Key": TOKEN}
                        answers += [
                            asking.post("/v1/predict", json=row, headers=headers),
                            asking.get(f"/v1/tasks?key={secret}&limit=x", headers=headers),
                            asking.delete("/v1/tasks/task-1", headers=headers),
                        ]
                    headers = {"Authorization": keys["app"]}
                    answers.append(asking.post("/v1/predict", json=row, headers=headers))
                    answers.append(asking.post("/v1/predict", json=row, headers=headers))
            finally:
                service.stop()
    codes = [answer.status_code for answer in answers]
    assert codes == [200, 422, 403, 401, 401, 401, 401, 401, 401, 403, 422, 204, 200, 429]
    log, audit = (tmp_path / "log").read_text(), (tmp_path / "audit").read_text()
    assert "/v1/tasks" in log
    assert "maker" in audit
    assert collector.roots()
    exported = b"".join(collector.bodies).decode("latin-1")
    presented = [said.partition(" ")[2] for said in keys.values()]
    for hidden in (PASSWORD, KEY, TOKEN, *presented):
        assert hidden not in log
        assert hidden not in audit
        assert hidden not in exported
        assert not any(hidden in answer.text + repr(answer.headers) for answer in answers)


def test_refused_start_does_not_repeat_a_password(store: Store) -> None:
    settings = {"STORE": str(store.files), "REDIS_URL": f"redis://x:{PASSWORD}@127.0.0.1:nowhere/0"}
    started = subprocess.run(
        [sys.executable, "-m", "service"],
        env=os.environ | settings,
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert started.returncode == 2
    assert "redis_url" in started.stdout
    assert PASSWORD not in started.stdout
