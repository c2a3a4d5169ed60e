"""How well a replica follows its store: the part of the service's metrics that says so."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.watching.second_buckets import SECONDS


class FollowingTelemetry:
    """The collectors, on the registry that `/metrics` exposes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry_version = Gauge(
            "impress_registry_version",
            "The same number on replicas that serve the same versions of the same tasks.",
            registry=registry,
        )
        self.registry_lag = Gauge(
            "impress_registry_lag_seconds",
            "How long ago the registry was last known to be in step with the store.",
            registry=registry,
        )
        self.reconciled = Gauge(
            "impress_registry_reconciled_timestamp_seconds",
            "When the registry was last known to be in step with the store, in Unix time.",
            registry=registry,
        )
        self.reconcile_seconds = Histogram(
            "impress_registry_reconcile_duration_seconds",
            "One look at the store, by what it was for: a nudge, or the interval.",
            ("reason",),
            buckets=SECONDS,
            registry=registry,
        )
        self.followed = Counter(
            "impress_registry_followed_total",
            "Tasks that changed here because others changed the store.",
            registry=registry,
        )
        self.nudges_received = Counter(
            "impress_nudges_received_total",
            "Other replicas' nudges, through Redis, to look at the store.",
            registry=registry,
        )
        self.nudges_missed = Counter(
            "impress_nudges_missed_total",
            "Gaps in the numbers of other replicas' nudges; the next look covers them.",
            registry=registry,
        )

        for reason in ("nudge", "interval"):
            self.reconcile_seconds.labels(reason)
