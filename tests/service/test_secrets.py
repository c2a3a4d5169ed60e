"""What is secret in the settings or a request is in nothing that the service says."""

import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from model_store.store import Store
from tests.real_parts import ServiceProcess, free_port

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
