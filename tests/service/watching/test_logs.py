import json
import logging
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from pydantic import ValidationError
from structlog.contextvars import bound_contextvars

from model_store.store import Store
from service.settings import Settings
from service.watching.logs import log_formatter
from tests.real_parts import running_service
from tests.service.artifacts import MakeArtifact


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    """What a logger of the test's own was told."""
    told: list[logging.LogRecord] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record)

    logger, handler = logging.getLogger("of.the.test"), Keeping()
    logger.addHandler(handler)
    yield told
    logger.removeHandler(handler)


def as_json(record: logging.LogRecord) -> dict[str, Any]:
    written = log_formatter(as_json=True).format(record)
    assert "\n" not in written
    found: dict[str, Any] = json.loads(written)
    return found


def fail_with(password: str) -> None:
    raise RuntimeError("it broke")


def test_a_line_is_one_json_object_with_what_is_known(lines: list[logging.LogRecord]) -> None:
    log = logging.getLogger("of.the.test")
    with bound_contextvars(request_id="r7"):
        log.warning("task %s", "published\nnot another line", extra={"task": "ants"})
        said = as_json(lines[0])
    assert said.pop("timestamp").endswith("Z")
    assert said == {
        "event": "task published\nnot another line",
        "level": "warning",
        "logger": "of.the.test",
        "request_id": "r7",
        "task": "ants",
    }


@pytest.mark.parametrize("form", [True, False], ids=["json", "console"])
def test_a_traceback_shows_no_variables(lines: list[logging.LogRecord], form: bool) -> None:
    secret = token_hex()
    try:
        fail_with(secret)
    except RuntimeError as error:
        logging.getLogger("of.the.test").error("a mistake", exc_info=error)
    written = log_formatter(form).format(lines[0])
    assert "RuntimeError: it broke" in written
    assert "fail_with" in written
    assert secret not in written


def test_a_level_may_be_written_in_capitals_and_must_exist() -> None:
    assert Settings.model_validate({"log_level": "WARNING"}).log_level == "warning"
    with pytest.raises(ValidationError, match="log_level"):
        Settings.model_validate({"log_level": "loud"})


@pytest.mark.parametrize("wanted", [True, False])
def test_access_log_has_a_line_a_request_where_it_is_wanted(
    store: Store, capfd: pytest.CaptureFixture[str], wanted: bool
) -> None:
    settings = {"LOG_FORMAT": "json", "ACCESS_LOG": str(wanted)}
    with running_service(Path(str(store.files)), **settings) as client:
        octets = {"Content-Type": "application/octet-stream"}
        row = b"\0" * 4 * 20
        client.post("/v1/predict?task=task-1", content=row, headers=octets).raise_for_status()
    said = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    events = [one["event"] for one in said if one["logger"] == "uvicorn.access"]
    assert [event for event in events if "/v1/predict?task=task-1" in event] == events[-1:]
    assert bool(events) == wanted


def test_everything_that_a_service_says_is_json_and_no_secret(
    store: Store, make_artifact: MakeArtifact, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "not-for-any-log"
    redis = {"REDIS_URL": f"redis://:{secret}@127.0.0.1:9/0", "REDIS_WARM_SECONDS": "0"}
    with running_service(Path(str(store.files)), LOG_FORMAT="json", **redis) as client:
        headers = {"X-Request-ID": "r1", "Authorization": f"Bearer {secret}"}
        content = make_artifact(50).content
        client.put("/v1/tasks/new", content=content, headers=headers).raise_for_status()
        client.put("/v1/tasks/new", content=make_artifact(51).content).raise_for_status()
        client.delete("/v1/tasks/new").raise_for_status()
        asked = {"task": "task-0", "inputs": [[secret]]}
        assert client.post("/v1/predict", json=asked, headers=headers).status_code == 422
        late = {"X-Request-Timeout-Ms": "0.001"}
        rows = {"task": "task-0", "inputs": [[0.5] * 20]}
        assert client.post("/v1/predict", json=rows, headers=headers | late).status_code >= 503
    written = capfd.readouterr().err
    assert secret not in written
    said = [json.loads(line) for line in written.splitlines()]
    changes = [one for one in said if one["event"].startswith("task ")]
    assert [one["event"] for one in changes] == ["task published", "task replaced", "task deleted"]
    assert changes[0]["request_id"] == "r1"
    assert {one["task"] for one in changes} == {"new"}
    assert [len(one["version"]) for one in changes] == [64, 64, 64]
    (failed,) = [one for one in said if one["event"] == "request failed"]
    assert (failed["request_id"], failed["task"]) == ("r1", "task-0")
    assert failed["route"] == "/v1/predict"
    assert any(one["logger"] == "uvicorn.error" for one in said)
    assert not any(one["logger"] == "uvicorn.access" for one in said)
