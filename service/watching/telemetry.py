"""Every collector of the service, on an injected registry. A task's name is never a label."""

import platform
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.watching.following_telemetry import FollowingTelemetry
from service.watching.kept_answers_telemetry import KeptAnswersTelemetry
from service.watching.question_telemetry import QuestionTelemetry
from service.watching.redis_telemetry import RedisTelemetry
from service.watching.second_buckets import SECONDS

_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_NATS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.2, 1.6, 2.0, 2.3, 3, 4.6)


class Telemetry:
    """The service's metrics; `/metrics` exposes the registry that they are on."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

        self.http_requests = Counter(
            "impress_http_requests_total",
            "Requests answered, by route, method and status code.",
            ("route", "method", "code"),
            registry=registry,
        )
        self.http_seconds = Histogram(
            "impress_http_request_duration_seconds",
            "From the request's head to the last byte of the answer.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "impress_requests_in_flight", "Requests under way.", registry=registry
        )
        self.rejected = Counter(
            "impress_rejected_total",
            "Requests refused at once or given up before their answer was there, by reason.",
            ("reason",),
            registry=registry,
        )

        self.queue_seconds = Histogram(
            "impress_queue_duration_seconds",
            "How long a request's rows waited for the engine.",
            buckets=SECONDS,
            registry=registry,
        )
        self.queue_rows = Gauge("impress_queue_rows", "Rows that wait.", registry=registry)
        self.queue_limit_rows = Gauge(
            "impress_queue_limit_rows", "Rows that may wait.", registry=registry
        )
        self.batch_rows = Histogram(
            "impress_batch_rows", "Rows in a batch.", buckets=_ROWS, registry=registry
        )
        self.batch_tasks = Histogram(
            "impress_batch_tasks", "Distinct tasks in a batch.", buckets=_ROWS, registry=registry
        )
        self.forward_seconds = Histogram(
            "impress_forward_duration_seconds",
            "The forward passes of one batch.",
            buckets=SECONDS,
            registry=registry,
        )
        self.path_rows = Counter(
            "impress_path_rows_total",
            "Rows computed, by path: on composed weights, or mixed with other tasks' rows.",
            ("path",),
            registry=registry,
        )
        self.path_seconds = Histogram(
            "impress_path_duration_seconds",
            "One pass of a batch's rows, by path.",
            ("path",),
            buckets=SECONDS,
            registry=registry,
        )
        self.compose_seconds = Histogram(
            "impress_compose_duration_seconds",
            "The composition of one task's weights.",
            buckets=SECONDS,
            registry=registry,
        )

        self.cache_queries = Counter(
            "impress_cache_queries_total",
            "Look-ups of composed weights, by tier.",
            ("tier",),
            registry=registry,
        )
        self.cache_hits = Counter(
            "impress_cache_hits_total",
            "Look-ups of composed weights that found them, by tier.",
            ("tier",),
            registry=registry,
        )
        self.cache_evictions = Counter(
            "impress_cache_evictions_total",
            "Composed weights dropped from the process to make room.",
            registry=registry,
        )
        self.cache_bytes = Gauge(
            "impress_cache_bytes", "Composed weights kept in the process.", registry=registry
        )

        self.redis = RedisTelemetry(registry)
        self.following = FollowingTelemetry(registry)
        self.questions = QuestionTelemetry(registry)
        self.ready = Gauge(
            "impress_ready", "1 where requests are welcome, as /readyz says.", registry=registry
        )
        self.tasks_registered = Gauge(
            "impress_tasks_registered", "Tasks that can be predicted with.", registry=registry
        )
        self.tasks_damaged = Gauge(
            "impress_tasks_damaged",
            "Tasks in the store that could not be loaded.",
            registry=registry,
        )

        self.task_changes = Counter(
            "impress_task_changes_total",
            "Changes asked for here, by kind: of tasks, of their versions and of their canaries.",
            ("change",),
            registry=registry,
        )

        self.inference = Counter(
            "impress_inference_total",
            "Requests without a task, by result: named or abstained.",
            ("result",),
            registry=registry,
        )
        self.inference_entropy = Histogram(
            "impress_inference_entropy_nats",
            "Mean entropy of the best task for a request without one.",
            buckets=_NATS,
            registry=registry,
        )
        self.inference_seconds = Histogram(
            "impress_inference_duration_seconds",
            "The search for the task of one request.",
            buckets=SECONDS,
            registry=registry,
        )

        self.kept_answers = KeptAnswersTelemetry(registry)

        for path in ("grouped", "fused", "stacked"):
            self.path_rows.labels(path)
        for result in ("named", "abstained"):
            self.inference.labels(result)
        for tier in ("process", "redis"):
            self.cache_queries.labels(tier)
            self.cache_hits.labels(tier)
        for change in ("published", "replaced", "deleted"):
            self.task_changes.labels(change)
        for reason in ("saturated", "late", "expired", "left", "closed", "quota", "slow"):
            self.rejected.labels(reason)

    def describe_build(self, device: str) -> None:
        """Expose what is running, once the device is known."""
        Gauge(
            "impress_build_info",
            "Always 1; the labels say what is running.",
            ("version", "torch", "python", "device"),
            registry=self.registry,
        ).labels(version("impress"), version("torch"), platform.python_version(), device).set(1)
