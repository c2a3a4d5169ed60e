"""Traces of a real service, as a collector of OpenTelemetry's own protocol gets them."""

from pathlib import Path

import httpx2
import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from model_store.store import Store
from tests.real_parts import running_service
from tests.service.trace_collector import attributes, collecting

ROWS = [[0.5] * 20, [0.25] * 20]
TRACE_ID, CALLERS_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def ask(client: httpx2.Client, name: str, task: str | None, **headers: str) -> int:
    body = {"inputs": ROWS} | ({} if task is None else {"task": task})
    headers = {"X-Request-ID": name} | {
        key.replace("_", "-"): said for key, said in headers.items()
    }
    return client.post("/v1/predict", json=body, headers=headers).status_code


@pytest.mark.slow
def test_a_trace_says_where_the_time_of_a_request_went(store: Store) -> None:
    with collecting() as (collector, endpoint):
        settings = {"TRACE_SHARE": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        with running_service(Path(str(store.files)), **settings) as client:
            assert ask(client, "named", "task-0") == 200
            assert ask(client, "masked", "masked") == 200
            assert ask(client, "unnamed", None) == 200
            assert ask(client, "late", "task-0", X_Request_Timeout_Ms="0.001") >= 503
            given = f"00-{TRACE_ID}-{CALLERS_SPAN}-"
            assert ask(client, "followed", "task-1", traceparent=given + "01") == 200
            raw = {"X-Request-ID": "raw", "Content-Type": "application/octet-stream"}
            body = np.array(ROWS, np.float32).tobytes()
            client.post("/v1/predict?task=task-2", content=body, headers=raw).raise_for_status()
            assert ask(client, "not-sampled", "task-1", traceparent=given + "00") == 200
    # What was under way was sent before the service ended.
    assert collector.services == {"impress"}
    roots = collector.roots()
    assert {"named", "masked", "unnamed", "late", "followed", "raw"} <= roots.keys()
    assert "not-sampled" not in roots

    named = roots["named"]
    assert named.name == "POST /v1/predict"
    said = attributes(named)
    assert said["http.route"] == "/v1/predict"
    assert said["http.response.status_code"] == 200
    assert said["impress.task"] == "task-0"
    steps = collector.steps(named)
    # Where rows cannot run without composed weights every task waits for them.
    assert steps.keys() - {"weights"} == {"queue", "forward", "encode"}
    assert attributes(steps["forward"]) == {"impress.batch.rows": 2, "impress.batch.tasks": 1}
    for step in steps.values():
        assert named.start_time_unix_nano <= step.start_time_unix_nano
        assert step.start_time_unix_nano <= step.end_time_unix_nano <= named.end_time_unix_nano
        assert step.trace_id == named.trace_id
    assert steps["queue"].end_time_unix_nano == steps["forward"].start_time_unix_nano

    assert collector.steps(roots["masked"]).keys() == {"weights", "queue", "forward", "encode"}
    assert collector.steps(roots["unnamed"]).keys() == {"identify", "encode"}
    assert roots["late"].status.code == Status.STATUS_CODE_ERROR
    assert roots["named"].status.code == Status.STATUS_CODE_UNSET
    assert roots["followed"].trace_id.hex() == TRACE_ID
    assert roots["followed"].parent_span_id.hex() == CALLERS_SPAN


@pytest.mark.slow
def test_without_a_share_nothing_is_sent_whatever_a_caller_samples(store: Store) -> None:
    with collecting() as (collector, endpoint):
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        with running_service(Path(str(store.files)), **settings) as client:
            given = f"00-{TRACE_ID}-{CALLERS_SPAN}-01"
            assert ask(client, "followed", "task-1", traceparent=given) == 200
    assert collector.spans == []
