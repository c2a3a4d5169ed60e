"""What Redis does for the service and how well: the part of the service's metrics that says so."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.watching.second_buckets import SECONDS


class RedisTelemetry:
    """The collectors, on the registry that `/metrics` exposes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.configured = Gauge(
            "impress_redis_configured", "1 where the settings name a Redis.", registry=registry
        )
        self.up = Gauge(
            "impress_redis_up",
            "1 where Redis answered last time, 0 where it did not or is not configured.",
            registry=registry,
        )
        self.seconds = Histogram(
            "impress_redis_command_duration_seconds",
            "Redis calls, by command, failed ones included.",
            ("command",),
            buckets=SECONDS,
            registry=registry,
        )
        self.errors = Counter(
            "impress_redis_errors_total",
            "Redis calls that failed, took too long or answered with damaged bytes, by command.",
            ("command",),
            registry=registry,
        )
        self.kept_bytes = Gauge(
            "impress_redis_cache_bytes",
            "Composed weights in Redis, every replica's, as of this one's last write.",
            registry=registry,
        )
        self.evictions = Counter(
            "impress_redis_cache_evictions_total",
            "Composed weights that this replica dropped from Redis to make room.",
            registry=registry,
        )

        for command in ("get", "set", "ping", "hot", "nudge", "listen"):
            self.seconds.labels(command)
            self.errors.labels(command)
