"""On the service's own collectors, so that a metric that is renamed there is missed here."""

from prometheus_client import CollectorRegistry, generate_latest

from client.activity import activity
from client.metric_samples import Samples, samples_of
from service.watching.telemetry import Telemetry

PREDICT, INFER = "/v1/predict", "/v2/models/{task}/infer"
GRPC = "/inference.GRPCInferenceService/ModelInfer"


def look(telemetry: Telemetry) -> Samples:
    return samples_of(generate_latest(telemetry.registry).decode())


def answered(telemetry: Telemetry, route: str, code: int, seconds: float, times: int = 1) -> None:
    for _ in range(times):
        telemetry.http_requests.labels(route, "POST", str(code)).inc()
        telemetry.http_seconds.labels(route).observe(seconds)


def test_activity_is_what_happened_in_between_a_second() -> None:
    telemetry = Telemetry(CollectorRegistry())
    answered(telemetry, PREDICT, 200, 4, times=50)
    telemetry.cache_queries.labels("process").inc(7)
    before = look(telemetry)
    answered(telemetry, PREDICT, 200, 0.0015, times=6)
    answered(telemetry, INFER, 503, 0.0015, times=2)
    answered(telemetry, GRPC, 200, 0.0015, times=4)
    answered(telemetry, "/metrics", 200, 3, times=9)
    telemetry.rejected.labels("saturated").inc(2)
    for rows, tasks in ((8, 1), (4, 3)):
        telemetry.batch_rows.observe(rows)
        telemetry.batch_tasks.observe(tasks)
    telemetry.path_rows.labels("fused").inc(12)
    telemetry.cache_queries.labels("process").inc(4)
    telemetry.cache_hits.labels("process").inc(3)
    telemetry.cache_bytes.set(1000)
    telemetry.inference.labels("abstained").inc(4)
    for nats in (0.15, 0.25):
        telemetry.inference_entropy.observe(nats)
    telemetry.tasks_registered.set(11)
    telemetry.redis.up.set(1)
    found = activity(before, look(telemetry), 2)
    assert found.predictions_per_second == 6
    assert found.rows_per_second == 6
    assert found.failed_per_second == 1
    assert found.rejected_per_second["saturated"] == 1
    assert found.latency_p50_ms is not None
    assert 1 <= found.latency_p50_ms <= 2.5
    assert (found.rows_per_batch, found.tasks_per_batch) == (6, 2)
    assert found.rows_by_path == {"grouped": 0, "fused": 6, "stacked": 0}
    assert found.cache_hit_share == {"process": 0.75, "redis": None}
    assert found.cache_bytes == 1000
    assert found.inferred_per_second == {"named": 0, "abstained": 2}
    assert found.entropy_mean_nats is not None
    assert abs(found.entropy_mean_nats - 0.2) < 1e-9
    assert (found.tasks_registered, found.redis_up) == (11, True)


def test_where_nothing_happened_there_is_nothing_to_measure() -> None:
    telemetry = Telemetry(CollectorRegistry())
    answered(telemetry, PREDICT, 200, 4)
    now = look(telemetry)
    found = activity(now, now, 1)
    assert found.predictions_per_second == 0
    assert found.latency_p50_ms is None
    assert found.latency_p99_ms is None
    assert found.rows_per_batch is None
    assert found.entropy_mean_nats is None
    assert found.redis_up is False
