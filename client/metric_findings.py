"""What a service's counts since its start say of its settings, in words."""

from collections.abc import Iterator

from client.findings import Finding
from client.metric_samples import Samples

_RARE = 0.01
_OFTEN = 0.5
_ENOUGH = 100
"""Of fewer requests a share says nothing."""


def metric_findings(samples: Samples) -> Iterator[Finding]:
    """Only what is worth a thought, or one line that nothing is."""
    found = [*_requests(samples), *_cache(samples), *_inference(samples), *_redis(samples)]
    yield from found
    if not found:
        answered = samples.total("impress_http_requests_total")
        yield Finding(
            "ok", "counts", f"nothing strange in {answered:,.0f} requests since its start"
        )


def _requests(samples: Samples) -> Iterator[Finding]:
    answered = samples.total("impress_http_requests_total")
    failed = samples.total(
        "impress_http_requests_total", lambda labels: labels.get("code") == "500"
    )
    if failed:
        said = f"{failed:,.0f} of {answered:,.0f} requests ended in the service's own mistakes"
        yield Finding("wrong", "requests", said, "its log says more, by request id")
    rejected = samples.by_label("impress_rejected_total", "reason")
    if answered < _ENOUGH:
        return
    without_task = samples.by_label("impress_inference_refused_total", "reason").get("saturated", 0)
    if without_task > _RARE * answered:
        said = (
            f"{without_task:,.0f} of {answered:,.0f} requests named no task and found their queue "
            "full"
        )
        advice = (
            "name the task where it is known, more replicas, or a larger INFERENCE_SHARE where "
            "requests that name theirs may wait"
        )
        yield Finding("warning", "requests", said, advice)
    named = rejected.get("saturated", 0) - without_task
    if named > _RARE * answered:
        said = f"{named:,.0f} of {answered:,.0f} requests found the queue full"
        advice = "more replicas, or a larger MAX_QUEUE_ROWS where waiting is better than refusing"
        yield Finding("warning", "requests", said, advice)
    late = rejected.get("late", 0) + rejected.get("expired", 0)
    if late > _RARE * answered:
        said = f"{late:,.0f} of {answered:,.0f} requests had too little time"
        advice = "longer deadlines (X-Request-Timeout-Ms, REQUEST_TIMEOUT_MS), or more replicas"
        yield Finding("warning", "requests", said, advice)


def _cache(samples: Samples) -> Iterator[Finding]:
    queries = samples.by_label("impress_cache_queries_total", "tier").get("process", 0)
    evictions = samples.total("impress_cache_evictions_total")
    if queries >= _ENOUGH and evictions > _OFTEN * queries:
        said = f"{evictions:,.0f} composed weights were dropped in {queries:,.0f} look-ups"
        advice = "a larger CACHE_BYTES would keep more of what is asked for"
        yield Finding("warning", "cache", said, advice)


def _inference(samples: Samples) -> Iterator[Finding]:
    results = samples.by_label("impress_inference_total", "result")
    asked, abstained = sum(results.values()), results.get("abstained", 0)
    if asked >= _ENOUGH and abstained > _OFTEN * asked:
        said = f"of {asked:,.0f} requests without a task {abstained:,.0f} found none"
        advice = (
            "send more rows of a task together, learn tasks with --exposure, or lower "
            "INFERENCE_MARGIN_NATS; or the data fit no task"
        )
        yield Finding("warning", "inference", said, advice)


def _redis(samples: Samples) -> Iterator[Finding]:
    calls = samples.total("impress_redis_command_duration_seconds_count")
    errors = samples.total("impress_redis_errors_total")
    if calls >= _ENOUGH and errors > _RARE * calls:
        said = f"{errors:,.0f} of {calls:,.0f} calls failed or took too long"
        advice = "a nearer Redis, or a longer REDIS_TIMEOUT_MS"
        yield Finding("warning", "redis", said, advice)
