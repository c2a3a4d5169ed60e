import json
import threading

import numpy as np

from client.blocking import Client
from tests.client.commands.conftest import Impress
from tests.client.scripted_server import Say, problem, scripted

ROWS = np.full((2, 20), 0.5, np.float32)
BRIEF = ("--interval", "0.5")


def test_top_shows_what_is_asked_for_and_which_tasks_are_hot(
    impress: Impress, service_url: str
) -> None:
    ended = threading.Event()

    def keep_asking() -> None:
        with Client(service_url) as client:
            while not ended.is_set():
                client.predict(ROWS, "task-2")
                client.predict(ROWS)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        result = impress("top", *BRIEF, "--count", 2, "--json")
        told = impress("top", *BRIEF, "--count", 1)
    finally:
        ended.set()
        asking.join()
    assert result.exit_code == 0
    looks = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(looks) == 2
    for look in looks:
        found = look["activity"]
        assert found["tasks_registered"] == 4
        assert found["predictions_per_second"] > 0
        assert found["rows_per_second"] > 0
        assert found["failed_per_second"] == 0
        assert 0 < found["latency_p50_ms"] <= found["latency_p99_ms"]
        assert found["inferred_per_second"]["named"] > 0
        assert found["entropy_mean_nats"] > 0
        assert "task-2" in [one["task"] for one in look["hot_tasks"]]
    assert told.exit_code == 0
    for said in ("predictions", "p99", "entropy, mean", "hot tasks", "task-2"):
        assert said in told.stdout


def test_only_watched_tasks_are_asked_for_their_use(impress: Impress, service_url: str) -> None:
    result = impress("top", *BRIEF, "--count", 1, "--task", "task-1", "--task", "nobody")
    assert result.exit_code == 0
    assert "hot tasks of 2 watched" in result.stdout
    result = impress("top", *BRIEF, "--count", 1, "--tasks", 2)
    assert "hot tasks of the first 2 by name" in result.stdout


def test_top_goes_on_where_the_service_restarts_meanwhile(impress: Impress) -> None:
    text = Say(200, b"impress_tasks_registered 1.0\n", {"Content-Type": "text/plain"})
    nothing = Say(body={"tasks": [], "next_cursor": None})
    with scripted(
        text, nothing, problem(503, "starting"), text, problem(503, "new"), nothing
    ) as up:
        result = impress("top", *BRIEF, "--count", 2, "--json", "--url", up.url)
    assert result.exit_code == 0
    away, back = (json.loads(line) for line in result.stdout.splitlines())
    assert (away["activity"], away["readiness"]["because"]) == (None, "503 Title: starting")
    assert back["activity"]["tasks_registered"] == 1
    assert back["readiness"]["because"] == "new"


def test_top_of_a_service_that_is_away_ends_at_once(impress: Impress) -> None:
    result = impress("top", "--url", "http://127.0.0.1:1")
    assert result.exit_code == 4
    assert "hint: impress doctor" in result.stderr
