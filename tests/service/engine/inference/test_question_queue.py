import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from math import inf
from pathlib import Path

import numpy as np
import pytest

from model_store.store import Store
from service.engine.engine import Engine, build_engine
from service.engine.inference.question import PLAIN_QUESTION
from service.engine.inference.question_queue import QuestionLimits, QuestionQueue
from service.engine.registry.entries import Terms
from service.errors import DeadlinePassed, Saturated, ShuttingDown, WouldBeLate
from service.settings import Settings
from service.watching.telemetry import Telemetry
from tests.service.engine.virtual_time import HeldExecutor, VirtualTimeLoop


class Bench:
    """A queue on a clock of its own, whose questions are computed when told."""

    def __init__(self, telemetry: Telemetry, limits: QuestionLimits) -> None:
        self.loop = VirtualTimeLoop()
        self.executor = HeldExecutor()
        self.plain_batches = 0
        self.computed: list[str] = []
        self.asked: list[asyncio.Task[str]] = []
        self.queue = QuestionQueue(
            self.executor, limits, lambda: self.plain_batches, telemetry, self.loop.time
        )

    def ask(
        self, name: str, rows: int = 1, caller: str = "caller", seconds: float = inf
    ) -> "asyncio.Task[str]":
        def compute() -> str:
            self.computed.append(name)
            return f"answer to {name}"

        terms = Terms(caller, self.loop.time() + seconds)
        task = self.loop.create_task(self.queue.ask(compute, rows, terms))
        self.asked.append(task)
        self.loop.settle()
        return task

    def close(self) -> None:
        """End all that is under way, and hear of all that went wrong."""
        tasks = asyncio.all_tasks(self.loop) | set(self.asked)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()

    def finish(self, seconds: float = 0.0, plain_batches: int = 0) -> None:
        """The question under way took so long, in which so many plain batches were begun."""
        self.plain_batches += plain_batches
        self.loop.advance(seconds)
        self.executor.run_next()
        self.loop.settle()


@pytest.fixture
def bench(telemetry: Telemetry) -> Iterator[Bench]:
    made = Bench(telemetry, QuestionLimits(queue_rows=8, share=0.25))
    yield made
    made.close()


def sample(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    return telemetry.registry.get_sample_value(name, labels)


def test_question_that_finds_no_room_is_refused_and_told_when_there_will_be(
    bench: Bench, telemetry: Telemetry
) -> None:
    bench.ask("first", rows=2)
    bench.finish(seconds=1.0)
    bench.ask("under way", rows=2)
    bench.ask("waiting", rows=8)
    refused = bench.ask("refused", caller="another").exception()
    assert isinstance(refused, Saturated)
    # Half a second a row: two that are computed, and eight that wait.
    assert refused.retry_after_seconds == pytest.approx(5.0)
    assert sample(telemetry, "impress_inference_queue_rows") == 8
    assert sample(telemetry, "impress_inference_refused_total", reason="saturated") == 1
    assert sample(telemetry, "impress_rejected_total", reason="saturated") == 1
    bench.finish()
    bench.finish()
    assert bench.computed == ["first", "under way", "waiting"]
    assert sample(telemetry, "impress_inference_queue_rows") == 0


def test_caller_who_floods_does_not_push_anothers_question_to_the_back(bench: Bench) -> None:
    flood = [bench.ask(f"flood {number}", caller="flooding") for number in range(20)]
    assert sum(one.done() for one in flood) == 15  # refused: half of the room is left for others
    other = bench.ask("other", rows=4, caller="other")
    for _ in range(6):
        bench.finish()
    assert other.result() == "answer to other"


def test_callers_who_wait_share_rows_and_not_questions(telemetry: Telemetry) -> None:
    bench = Bench(telemetry, QuestionLimits(queue_rows=512))
    bench.ask("under way")
    for number in range(4):
        bench.ask(f"large {number}", rows=16, caller="large")
    for number in range(64):
        bench.ask(f"small {number}", caller="small")
    for _ in range(40):
        bench.finish()
    large = [bench.computed.index(f"large {number}") for number in range(2)]
    assert [before - after for after, before in itertools.pairwise(large)] == [17]
    bench.close()


def test_question_of_who_left_is_never_computed(bench: Bench, telemetry: Telemetry) -> None:
    bench.ask("under way")
    leaving, staying = bench.ask("leaving"), bench.ask("staying")
    leaving.cancel()
    bench.loop.settle()
    assert sample(telemetry, "impress_inference_queue_rows") == 1
    bench.finish()
    bench.finish()
    assert staying.result() == "answer to staying"
    assert bench.computed == ["under way", "staying"]
    assert sample(telemetry, "impress_inference_refused_total", reason="left") == 1


def test_who_leaves_while_its_question_is_computed_holds_up_nobody(bench: Bench) -> None:
    leaving, next_one = bench.ask("leaving"), bench.ask("next")
    leaving.cancel()
    bench.loop.settle()
    bench.finish()
    bench.finish()
    assert next_one.result() == "answer to next"


def test_question_whose_time_is_over_is_answered_then_and_never_computed(
    bench: Bench, telemetry: Telemetry
) -> None:
    bench.ask("under way")
    late = bench.ask("late", seconds=1.0)
    bench.loop.advance(1.5)
    bench.loop.settle()
    assert isinstance(late.exception(), DeadlinePassed)
    bench.finish()
    assert bench.computed == ["under way"]
    assert bench.executor.held == []
    assert sample(telemetry, "impress_inference_refused_total", reason="expired") == 1


def test_question_that_would_be_late_is_refused_at_once(bench: Bench, telemetry: Telemetry) -> None:
    bench.ask("first", rows=2)
    bench.finish(seconds=2.0)
    bench.ask("under way", rows=2)
    bench.ask("waiting")
    late = bench.ask("late", seconds=3.0).exception()
    assert isinstance(late, WouldBeLate)
    assert late.retry_after_seconds == pytest.approx(1.0)
    assert sample(telemetry, "impress_inference_refused_total", reason="late") == 1
    in_time = bench.ask("in time", seconds=4.5)
    assert not in_time.done()
    in_time.cancel()


def test_search_rests_for_what_is_not_its_share_where_plain_predictions_ran_too(
    bench: Bench,
) -> None:
    bench.ask("first")
    bench.ask("second")
    bench.finish(seconds=1.0, plain_batches=5)
    assert bench.executor.held == []
    bench.loop.advance(2.9)
    bench.loop.settle()
    assert bench.executor.held == []
    bench.loop.advance(0.2)
    bench.loop.settle()
    assert len(bench.executor.held) == 1
    bench.finish()


def test_search_does_not_rest_where_nothing_else_ran(bench: Bench) -> None:
    bench.ask("first")
    second = bench.ask("second")
    bench.finish(seconds=1.0)
    bench.finish(seconds=1.0)
    assert second.done()


def test_what_goes_wrong_with_a_question_is_told_to_who_asked_alone(bench: Bench) -> None:
    def fail() -> str:
        raise ZeroDivisionError

    failing = bench.loop.create_task(bench.queue.ask(fail, 1, Terms("caller")))
    bench.loop.settle()
    other = bench.ask("other")
    bench.finish()
    bench.finish()
    assert isinstance(failing.exception(), ZeroDivisionError)
    assert other.result() == "answer to other"


def test_closing_answers_what_waits_without_rests_and_takes_in_nothing_more(bench: Bench) -> None:
    waiting = [bench.ask(f"{number}") for number in range(3)]
    bench.finish(seconds=10.0, plain_batches=1)
    closing = bench.loop.create_task(bench.queue.close())
    bench.loop.settle()
    assert isinstance(bench.ask("too late").exception(), ShuttingDown)
    bench.finish(seconds=10.0, plain_batches=1)
    bench.finish()
    assert [one.result() for one in waiting] == ["answer to 0", "answer to 1", "answer to 2"]
    assert closing.done()


@pytest.fixture
async def engine(store: Store, telemetry: Telemetry) -> AsyncIterator[Engine]:
    made = build_engine(Settings(store=Path(str(store.files)), inference_margin_nats=0), telemetry)
    await made.start()
    yield made
    await made.close()


@pytest.mark.anyio
async def test_search_that_is_held_up_never_holds_up_a_plain_prediction(engine: Engine) -> None:
    rows, terms = np.full((3, 20), 0.5, np.float32), Terms("caller")
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        go_on.wait()

    holding = asyncio.create_task(engine.unnamed.questions.ask(hold, 1, terms))
    infer = engine.predictor.infer
    searches = [asyncio.create_task(infer(rows, PLAIN_QUESTION, terms)) for _ in range(5)]
    await asyncio.to_thread(held.wait)
    for number in range(40):
        prediction = await engine.predictor.predict(f"task-{number % 4}", rows, terms)
        assert prediction.task is not None
        assert prediction.task.task_id == f"task-{number % 4}"
    assert not holding.done()
    assert not any(one.done() for one in searches)
    go_on.set()
    for prediction in await asyncio.gather(*searches):
        assert prediction.task is not None
