"""The collectors of answers of task inference that are kept."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class KeptAnswersTelemetry:
    """How often what was asked without a task had been asked before."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.queries = Counter(
            "impress_inference_cache_queries_total",
            "Look-ups of what the search for a task found out for the same rows.",
            registry=registry,
        )
        self.hits = Counter(
            "impress_inference_cache_hits_total",
            "Look-ups of what the search for a task found out that found it.",
            registry=registry,
        )
        self.bytes = Gauge(
            "impress_inference_cache_bytes",
            "What is kept of searches for a task.",
            registry=registry,
        )
