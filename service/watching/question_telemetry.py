"""Requests that name no task while they wait for their turn: that part of the service's metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.watching.second_buckets import SECONDS


class QuestionTelemetry:
    """The collectors, on the registry that `/metrics` exposes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.queue_rows = Gauge(
            "impress_inference_queue_rows",
            "Rows that wait for their task to be searched for.",
            registry=registry,
        )
        self.queue_limit_rows = Gauge(
            "impress_inference_queue_limit_rows", "Rows that may wait so.", registry=registry
        )
        self.queue_seconds = Histogram(
            "impress_inference_queue_duration_seconds",
            "How long a request's rows waited for the search to begin.",
            buckets=SECONDS,
            registry=registry,
        )
        self.refused = Counter(
            "impress_inference_refused_total",
            "Of impress_rejected_total those that named no task, by reason.",
            ("reason",),
            registry=registry,
        )
        self.sessions = Gauge(
            "impress_inference_sessions",
            "Sessions whose earlier rows are kept.",
            registry=registry,
        )
        self.sessions_ended = Counter(
            "impress_inference_sessions_ended_total",
            "Sessions that were forgotten, by why.",
            ("reason",),
            registry=registry,
        )

        for reason in ("expired", "displaced", "ended", "restarted"):
            self.sessions_ended.labels(reason)
        for reason in ("saturated", "late", "expired", "left", "closed"):
            self.refused.labels(reason)
