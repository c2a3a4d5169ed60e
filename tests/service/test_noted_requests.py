import logging
from typing import Any

import pytest

from service.noted_requests import NotedRequests


class Clock:
    """A time that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def scope(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"method": "POST", "path": "/v1/predict", "request_id": f"r{number}", **more}


def test_a_bucket_gets_one_exemplar_a_second(clock: Clock) -> None:
    noted = NotedRequests(None, clock)
    assert noted.ended(scope(1, task="a"), "/p", 200, 0.003) == {"request_id": "r1", "task": "a"}
    assert noted.ended(scope(2), "/p", 200, 0.004) is None
    clock.seconds += 1
    assert noted.ended(scope(3), "/p", 200, 0.003) == {"request_id": "r3"}


def test_buckets_and_routes_each_have_their_own(clock: Clock) -> None:
    noted = NotedRequests(None, clock)
    for number, (route, seconds) in enumerate(
        [("/p", 0.003), ("/p", 0.03), ("/q", 0.003), ("/p", 60)]
    ):
        assert noted.ended(scope(number), route, 200, seconds) == {"request_id": f"r{number}"}


def test_what_is_well_and_quick_is_not_logged(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    noted = NotedRequests(1.0, clock)
    for code in (200, 201, 404, 422, 499):
        noted.ended(scope(), "/p", code, 0.9)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("code", "seconds", "level", "said"),
    [
        (500, 0.01, logging.ERROR, "request failed"),
        (503, 0.01, logging.WARNING, "request failed"),
        (504, 3.0, logging.WARNING, "request failed"),
        (200, 1.0, logging.WARNING, "request was slow"),
    ],
)
def test_what_failed_or_was_slow_is_one_line(
    clock: Clock, caplog: pytest.LogCaptureFixture, code: int, seconds: float, level: int, said: str
) -> None:
    NotedRequests(1.0, clock).ended(scope(7, task="ants"), "/p", code, seconds)
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (level, said)
    told = vars(record)
    assert (told["request_id"], told["task"], told["route"]) == ("r7", "ants", "/p")
    assert (told["status"], told["duration_ms"]) == (code, 1000 * seconds)


def test_a_flood_of_refusals_is_counted_and_not_written(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    noted = NotedRequests(None, clock)
    for number in range(500):
        noted.ended(scope(number), "/p", 503, 0.001)
    lines = len(caplog.records)
    assert 0 < lines < 100
    clock.seconds += 1
    noted.ended(scope(500), "/p", 503, 0.001)
    assert vars(caplog.records[-1])["left_out"] == 500 - lines
