"""Token buckets in the process, by a clock of the test's own."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.key_file import KeyRecord, hash_of
from service.access.quotas import Bucket, KeyAllowance, Quotas
from service.errors import QuotaExceeded


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def record(name: str = "app", **said: Any) -> KeyRecord:
    named = {"name": name, "scopes": ["predict"], "sha256": [hash_of(name)]}
    return KeyRecord.model_validate(named | said)


def allowance(clock: Clock, **said: Any) -> KeyAllowance:
    (one,) = Quotas(lambda: None, clock).allowances([record(**said)])
    return one


def test_burst_then_the_rate() -> None:
    clock = Clock()
    one = allowance(clock, requests_per_second=10, burst_seconds=0.5)
    for _ in range(5):
        one.take_request()
    with pytest.raises(QuotaExceeded) as raised:
        one.take_request()
    assert raised.value.retry_after_seconds == pytest.approx(0.1)
    clock.now += 0.1
    one.take_request()
    with pytest.raises(QuotaExceeded):
        one.take_request()


def test_more_rows_than_the_bucket_holds_wait_for_a_full_one_and_leave_a_debt() -> None:
    clock = Clock()
    one = allowance(clock, rows_per_second=100)
    one.take_rows(300)
    with pytest.raises(QuotaExceeded) as raised:
        one.take_rows(1)
    assert raised.value.retry_after_seconds == pytest.approx(2.01)
    clock.now += 2.01
    one.take_rows(1)
    clock.now += 0.5
    with pytest.raises(QuotaExceeded):
        one.take_rows(300)


def test_what_a_key_does_not_name_is_unbounded() -> None:
    one = allowance(Clock())
    for _ in range(1000):
        one.take_request()
        one.take_rows(1_000_000)


def test_request_that_comes_again_another_way_counts_once() -> None:
    one = allowance(Clock(), requests_per_second=1)
    for _ in range(10):
        one.take_request()
        one.give_back_request()
    one.take_request()
    with pytest.raises(QuotaExceeded):
        one.take_request()


def test_each_refusal_is_counted() -> None:
    refused: list[None] = []
    (one,) = Quotas(lambda: refused.append(None), Clock()).allowances([record(rows_per_second=1)])
    one.take_rows(1)
    for _ in range(3):
        with pytest.raises(QuotaExceeded):
            one.take_rows(1)
    assert len(refused) == 3


def test_reload_forgives_nothing_unless_the_limits_are_others() -> None:
    quotas = Quotas(lambda: None, Clock())
    (one,) = quotas.allowances([record(requests_per_second=1)])
    one.take_request()
    again, _ = quotas.allowances([record(requests_per_second=1, tenant="acme"), record("new")])
    with pytest.raises(QuotaExceeded):
        again.take_request()
    (more,) = quotas.allowances([record(requests_per_second=2)])
    more.take_request()


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 40)), max_size=60))
def test_never_more_than_the_rate_and_a_burst_and_what_one_request_overdraws(
    asked: list[tuple[float, int]],
) -> None:
    clock = Clock()
    bucket = Bucket(10, 2, clock)
    had = 0
    for passed, count in asked:
        clock.now += passed
        if not bucket.take(count):
            had += count
        assert had <= 10 * clock.now + 20 + 40
        assert bucket.level <= bucket.most
