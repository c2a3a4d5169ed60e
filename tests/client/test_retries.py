from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.retries import Retries, retry_after_seconds

NOW = datetime(2026, 1, 1, tzinfo=UTC)

draws = st.floats(0, 1, exclude_max=True)
seconds = st.floats(0, 100)


@given(st.integers(1, 20), seconds, st.none() | seconds, draws)
def test_a_wait_is_never_less_than_the_service_asked_for(
    failed: int, asked: float, left: float | None, draw: float
) -> None:
    wait = Retries(attempts=10).wait_seconds(failed, asked, left, draw)
    assert wait is None or wait >= asked


@given(st.integers(1, 20), st.none() | seconds, seconds, draws)
def test_a_wait_always_leaves_time_for_an_attempt(
    failed: int, asked: float | None, left: float, draw: float
) -> None:
    wait = Retries(attempts=10).wait_seconds(failed, asked, left, draw)
    assert wait is None or wait < left


@given(st.integers(1, 10), draws)
def test_there_are_no_more_attempts_than_allowed(attempts: int, draw: float) -> None:
    retries = Retries(attempts=attempts)
    waits = [retries.wait_seconds(failed, None, None, draw) for failed in range(1, attempts + 3)]
    assert [wait is not None for wait in waits] == [True] * (attempts - 1) + [False] * 3


def test_waits_double_up_to_the_longest_and_are_spread_by_half() -> None:
    retries = Retries(attempts=9, first_wait_seconds=1, longest_wait_seconds=5)
    assert [retries.wait_seconds(failed, None, None, 0) for failed in (1, 2, 3, 4)] == [
        0.5, 1, 2, 2.5
    ]  # fmt: skip
    assert retries.wait_seconds(2, None, None, 0.5) == 1.5


def test_a_service_that_asks_for_too_long_is_not_waited_for() -> None:
    retries = Retries(longest_wait_seconds=10)
    assert retries.wait_seconds(1, 10.5, None, 0) is None
    assert retries.wait_seconds(1, 10, None, 0) is not None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("0", 0),
        ("7", 7),
        (" 120 ", 120),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("1.5", None),
        ("\u0667", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(said: str, expected: float | None) -> None:
    assert retry_after_seconds({"retry-after": said}, NOW) == expected


def test_no_retry_after_asks_for_nothing() -> None:
    assert retry_after_seconds({}, NOW) is None


@pytest.mark.parametrize(
    "wrong",
    [{"attempts": 0}, {"first_wait_seconds": -1}, {"longest_wait_seconds": 0.05}],
)
def test_retries_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Retries(**wrong)  # type: ignore[arg-type]
