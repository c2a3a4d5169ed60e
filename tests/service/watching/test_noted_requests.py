import logging
from typing import Any

import pytest

from service.watching.noted_requests import NotedRequests


class Clock:
    """A time that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def ended(
    noted: NotedRequests, route: str, code: int, seconds: float, **about: Any
) -> dict[str, str] | None:
    return noted.ended(route, "POST", code, seconds, lambda: about)


def test_a_bucket_gets_one_exemplar_a_second(clock: Clock) -> None:
    noted = NotedRequests(None, clock)
    about = {"request_id": "r1", "task": "a"}
    assert ended(noted, "/p", 200, 0.003, **about) == about
    assert ended(noted, "/p", 200, 0.004, request_id="r2") is None
    clock.seconds += 1
    assert ended(noted, "/p", 200, 0.003, request_id="r3") == {"request_id": "r3"}


def test_buckets_and_routes_each_have_their_own(clock: Clock) -> None:
    noted = NotedRequests(None, clock)
    for number, (route, seconds) in enumerate(
        [("/p", 0.003), ("/p", 0.03), ("/q", 0.003), ("/p", 60)]
    ):
        assert ended(noted, route, 200, seconds, request_id=f"r{number}") == {
            "request_id": f"r{number}"
        }


def test_what_is_well_and_quick_is_not_logged(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    noted = NotedRequests(1.0, clock)
    for code in (200, 201, 404, 422, 499):
        ended(noted, "/p", code, 0.9, request_id="r1")
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
    ended(NotedRequests(1.0, clock), "/p", code, seconds, request_id="r7", task="ants")
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
        ended(noted, "/p", 503, 0.001, request_id=f"r{number}")
    lines = len(caplog.records)
    assert 0 < lines < 100
    clock.seconds += 1
    ended(noted, "/p", 503, 0.001)
    assert vars(caplog.records[-1])["left_out"] == 500 - lines
