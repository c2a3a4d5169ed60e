"""On the service's own collectors, so that a metric that is renamed there is missed here."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from client.findings import Finding
from client.metric_findings import metric_findings
from client.metric_samples import samples_of
from service.watching.telemetry import Telemetry


def found_in(*happened: Callable[[Telemetry], object]) -> list[Finding]:
    telemetry = Telemetry(CollectorRegistry())
    telemetry.http_requests.labels("/v1/predict", "POST", "200").inc(1000)
    for one in happened:
        one(telemetry)
    return list(metric_findings(samples_of(generate_latest(telemetry.registry).decode())))


def redis_called(telemetry: Telemetry) -> None:
    for _ in range(100):
        telemetry.redis.seconds.labels("get").observe(0.06)
    telemetry.redis.errors.labels("get").inc(50)


def searches_refused(telemetry: Telemetry) -> None:
    telemetry.rejected.labels("saturated").inc(30)
    telemetry.questions.refused.labels("saturated").inc(30)


def cache_turned_over(telemetry: Telemetry) -> None:
    telemetry.cache_queries.labels("process").inc(1000)
    telemetry.cache_evictions.inc(900)


def mostly_abstained(telemetry: Telemetry) -> None:
    telemetry.inference.labels("named").inc(40)
    telemetry.inference.labels("abstained").inc(160)


@pytest.mark.parametrize(
    ("happened", "state", "said", "advice"),
    [
        (
            lambda telemetry: telemetry.http_requests.labels("/v1/tasks", "GET", "500").inc(),
            "wrong", "1 of 1,001 requests ended in the service's own mistakes", "log",
        ),
        (
            lambda telemetry: telemetry.rejected.labels("saturated").inc(30),
            "warning", "30 of 1,000 requests found the queue full", "MAX_QUEUE_ROWS",
        ),
        (
            searches_refused,
            "warning", "30 of 1,000 requests named no task", "INFERENCE_SHARE",
        ),
        (
            lambda telemetry: telemetry.rejected.labels("expired").inc(30),
            "warning", "30 of 1,000 requests had too little time", "REQUEST_TIMEOUT_MS",
        ),
        (cache_turned_over, "warning", "900 composed weights were dropped", "CACHE_BYTES"),
        (mostly_abstained, "warning", "of 200 requests without a task 160", "--exposure"),
        (redis_called, "warning", "50 of 100 calls failed", "REDIS_TIMEOUT_MS"),
    ],
)  # fmt: skip
def test_what_is_strange_is_said_with_what_to_do(
    happened: Callable[[Telemetry], object], state: str, said: str, advice: str
) -> None:
    (finding,) = found_in(happened)
    assert finding.state == state
    assert said in finding.said
    assert advice in finding.advice


def test_what_is_rare_is_no_reason_to_worry() -> None:
    (finding,) = found_in(
        lambda telemetry: telemetry.rejected.labels("saturated").inc(5),
        lambda telemetry: telemetry.inference.labels("abstained").inc(20),
        lambda telemetry: telemetry.cache_evictions.inc(10),
    )
    assert (finding.state, finding.what) == ("ok", "counts")
