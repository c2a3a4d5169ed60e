"""What a service did between two looks at its metrics, as `impress top` shows it."""

from collections.abc import Mapping
from dataclasses import dataclass

from client.metric_samples import Labels, Samples, quantile

_HTTP = "impress_http_request_duration_seconds"


@dataclass(frozen=True, slots=True)
class Activity:
    """Rates a second, milliseconds, and shares of 1; None where nothing happened to measure."""

    seconds: float
    predictions_per_second: float
    rows_per_second: float
    failed_per_second: float
    """Of all routes, answers with 5xx."""
    rejected_per_second: Mapping[str, float]
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    queue_p99_ms: float | None
    in_flight: int
    queue_rows: int
    rows_per_batch: float | None
    tasks_per_batch: float | None
    rows_by_path: Mapping[str, float]
    cache_hit_share: Mapping[str, float | None]
    cache_bytes: int
    evictions_per_second: float
    inferred_per_second: Mapping[str, float]
    entropy_mean_nats: float | None
    entropy_p90_nats: float | None
    tasks_registered: int
    tasks_damaged: int
    registry_lag_seconds: float
    redis_up: bool
    redis_errors_per_second: float
    resident_bytes: int
    processor_share: float
    """1 is one core."""


def activity(before: Samples, now: Samples, seconds: float) -> Activity:
    """What happened in those seconds."""
    new = now.since(before)
    latency = new.buckets(_HTTP, _is_prediction)
    entropy = new.buckets("impress_inference_entropy_nats")
    queries = new.by_label("impress_cache_queries_total", "tier")
    hits = new.by_label("impress_cache_hits_total", "tier")
    return Activity(
        seconds=seconds,
        predictions_per_second=new.total(f"{_HTTP}_count", _is_prediction) / seconds,
        rows_per_second=new.total("impress_batch_rows_sum") / seconds,
        failed_per_second=new.total("impress_http_requests_total", _failed) / seconds,
        rejected_per_second=_rates(new.by_label("impress_rejected_total", "reason"), seconds),
        latency_p50_ms=_ms(quantile(latency, 0.5)),
        latency_p99_ms=_ms(quantile(latency, 0.99)),
        queue_p99_ms=_ms(quantile(new.buckets("impress_queue_duration_seconds"), 0.99)),
        in_flight=int(now.total("impress_requests_in_flight")),
        queue_rows=int(now.total("impress_queue_rows")),
        rows_per_batch=_mean(new, "impress_batch_rows"),
        tasks_per_batch=_mean(new, "impress_batch_tasks"),
        rows_by_path=_rates(new.by_label("impress_path_rows_total", "path"), seconds),
        cache_hit_share={tier: _share(hits.get(tier, 0), of) for tier, of in queries.items()},
        cache_bytes=int(now.total("impress_cache_bytes")),
        evictions_per_second=new.total("impress_cache_evictions_total") / seconds,
        inferred_per_second=_rates(new.by_label("impress_inference_total", "result"), seconds),
        entropy_mean_nats=_mean(new, "impress_inference_entropy_nats"),
        entropy_p90_nats=quantile(entropy, 0.9),
        tasks_registered=int(now.total("impress_tasks_registered")),
        tasks_damaged=int(now.total("impress_tasks_damaged")),
        registry_lag_seconds=now.total("impress_registry_lag_seconds"),
        redis_up=now.total("impress_redis_up") > 0,
        redis_errors_per_second=new.total("impress_redis_errors_total") / seconds,
        resident_bytes=int(now.total("process_resident_memory_bytes")),
        processor_share=new.total("process_cpu_seconds_total") / seconds,
    )


def _is_prediction(labels: Labels) -> bool:
    route = labels.get("route", "")
    return route == "/v1/predict" or route.endswith(("/infer", "/ModelInfer"))


def _failed(labels: Labels) -> bool:
    return labels.get("code", "").startswith("5")


def _rates(counts: Mapping[str, float], seconds: float) -> dict[str, float]:
    return {name: count / seconds for name, count in counts.items()}


def _mean(samples: Samples, name: str) -> float | None:
    return _share(samples.total(f"{name}_sum"), samples.total(f"{name}_count"))


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
