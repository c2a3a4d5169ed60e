from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from client.errors import UnexpectedAnswer
from client.metric_samples import Samples, quantile, samples_of

BOUNDS = (0.5, 1, 2, 4)


class Process:
    """Metrics as a service has them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("requests_total", "", ("route", "code"), registry=self.registry)
        self.seconds = Histogram("seconds", "", ("route",), buckets=BOUNDS, registry=self.registry)

    def look(self) -> Samples:
        return samples_of(generate_latest(self.registry).decode())


def test_what_is_counted_between_two_looks_is_told_apart_by_labels() -> None:
    process = Process()
    process.requests.labels("/a", "200").inc(5)
    before = process.look()
    process.requests.labels("/a", "200").inc(2)
    process.requests.labels("/a", "500").inc(3)
    process.requests.labels("/b", "200").inc(7)
    new = process.look().since(before)
    assert new.total("requests_total") == 12
    assert new.total("requests_total", lambda labels: labels["route"] == "/a") == 5
    assert new.by_label("requests_total", "code") == {"200": 9, "500": 3}
    assert new.total("nothing") == 0


def test_a_process_that_began_anew_counts_from_nothing() -> None:
    old, new = Process(), Process()
    old.requests.labels("/a", "200").inc(100)
    new.requests.labels("/a", "200").inc(4)
    assert new.look().since(old.look()).total("requests_total") == 4


def test_buckets_of_several_labels_are_added() -> None:
    process = Process()
    for route, seconds in (("/a", 0.7), ("/a", 3), ("/b", 0.1)):
        process.seconds.labels(route).observe(seconds)
    look = process.look()
    assert look.buckets("seconds") == {0.5: 1, 1: 2, 2: 2, 4: 3, inf: 3}
    assert look.buckets("seconds", lambda labels: labels["route"] == "/b")[0.5] == 1


@given(st.lists(st.floats(0, 4), min_size=1), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    process = Process()
    for value in values:
        process.seconds.labels("/a").observe(value)
    found = quantile(process.look().buckets("seconds"), share)
    true = float(np.quantile(values, share, method="inverted_cdf"))
    bucket = next(index for index, bound in enumerate(BOUNDS) if true <= bound)
    assert found is not None
    assert ([0.0, *BOUNDS])[bucket] <= found <= BOUNDS[bucket]


def test_a_quantile_beyond_the_last_bound_is_that_bound_and_of_nothing_none() -> None:
    process = Process()
    process.seconds.labels("/a")
    assert quantile(process.look().buckets("seconds"), 0.5) is None
    assert quantile({}, 0.5) is None
    process.seconds.labels("/a").observe(100)
    assert quantile(process.look().buckets("seconds"), 0.5) == 4


@pytest.mark.parametrize("text", ["<html>", "a{b} 1", 'x{le="1" 2'])
def test_what_is_no_metrics_text_is_refused(text: str) -> None:
    with pytest.raises(UnexpectedAnswer, match="expected Prometheus' text"):
        samples_of(text)
