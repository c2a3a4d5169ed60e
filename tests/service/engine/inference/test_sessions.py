import asyncio
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from model_store.network import FrozenNetwork
from model_store.store import Store
from service.engine.engine import build_engine
from service.engine.inference.identification import Identification
from service.engine.inference.question import Question, Session
from service.engine.inference.sessions import SessionLimits, Sessions
from service.engine.prediction import Prediction
from service.engine.registry.entries import Rows, Terms
from service.errors import Saturated
from service.settings import Settings
from service.watching.telemetry import Telemetry
from tests.service.artifacts import MakeArtifact
from tests.service.engine.known_inputs import knowing, rows_of
from tests.service.engine.virtual_time import VirtualTimeLoop

TASKS = 6
SESSION = Session("a stream")


def numbered(*numbers: float) -> Rows:
    """Rows of ten numbers, forty bytes each."""
    return np.repeat(np.array(numbers, np.float32)[:, None], 10, axis=1)


def numbers_of(rows: Rows) -> list[float]:
    numbers: list[float] = rows[:, 0].tolist()
    return numbers


class Bench:
    """Sessions on a clock of their own."""

    def __init__(self, telemetry: Telemetry, limits: SessionLimits) -> None:
        self.loop = VirtualTimeLoop()
        self.telemetry = telemetry
        self.sessions = Sessions(limits, telemetry, self.loop.time)

    def ask(
        self, *numbers: float, caller: str = "caller", session: Session = SESSION
    ) -> list[float]:
        """One whole request: what it rested on."""

        async def request() -> Rows:
            found = self.sessions.with_earlier(caller, session, numbered(*numbers))
            self.sessions.add(caller, session, numbered(*numbers))
            return found

        return numbers_of(self.loop.run_until_complete(request()))

    def pass_time(self, seconds: float) -> None:
        self.loop.advance(seconds)
        self.loop.settle()

    @property
    def kept(self) -> float | None:
        return self.telemetry.registry.get_sample_value("impress_inference_sessions")

    def ended(self, reason: str) -> float | None:
        name = "impress_inference_sessions_ended_total"
        return self.telemetry.registry.get_sample_value(name, {"reason": reason})


@pytest.fixture
def bench(telemetry: Telemetry) -> Iterator[Bench]:
    made = Bench(telemetry, SessionLimits(rows=4, all_bytes=2000, seconds=10))
    yield made
    made.sessions.close()
    made.loop.close()


def test_request_rests_on_the_last_rows_of_its_session(bench: Bench) -> None:
    assert bench.ask(1) == [1]
    assert bench.ask(2, 3) == [1, 2, 3]
    assert bench.ask(4, 5) == [2, 3, 4, 5]
    assert bench.ask(6, 7, 8, 9, 10) == [6, 7, 8, 9, 10]
    assert bench.ask(11) == [8, 9, 10, 11]


def test_session_is_its_callers_alone_and_its_names(bench: Bench) -> None:
    bench.ask(1)
    assert bench.ask(2, caller="another") == [2]
    assert bench.ask(3, session=Session("another stream")) == [3]
    assert bench.ask(4) == [1, 4]


def test_session_begins_anew_where_that_is_said(bench: Bench) -> None:
    bench.ask(1)
    assert bench.ask(2, session=Session(SESSION.name, anew=True)) == [2]
    assert bench.ask(3) == [2, 3]
    assert bench.ended("restarted") == 1


def test_last_request_of_a_session_leaves_nothing(bench: Bench) -> None:
    bench.ask(1)
    assert bench.ask(2, session=Session(SESSION.name, last=True)) == [1, 2]
    assert bench.kept == 0
    assert bench.ended("ended") == 1
    assert bench.ask(3) == [3]


def test_session_is_forgotten_some_time_after_its_last_request_though_nobody_asks(
    bench: Bench,
) -> None:
    bench.ask(1)
    bench.pass_time(6)
    bench.ask(2, session=Session("another stream"))
    bench.ask(3)
    bench.pass_time(6)
    assert bench.kept == 2
    bench.pass_time(4.5)
    assert bench.kept == 0
    assert bench.ended("expired") == 2
    assert bench.ask(4) == [4]


def test_sessions_asked_for_longest_ago_make_room_by_bytes(bench: Bench) -> None:
    for name in "abc":
        bench.ask(1, session=Session(name))
    bench.ask(2, session=Session("a"))
    bench.ask(3, session=Session("d"))
    assert bench.kept == 3
    assert bench.ended("displaced") == 1
    assert bench.ask(4, session=Session("a")) == [1, 2, 4]
    assert bench.ask(5, session=Session("b")) == [5]


def test_without_room_each_request_stands_alone(telemetry: Telemetry) -> None:
    bench = Bench(telemetry, SessionLimits(all_bytes=0))
    assert bench.ask(1) == [1]
    assert bench.ask(2) == [2]
    assert bench.kept == 0
    bench.sessions.close()
    bench.loop.close()


class Service:
    """An engine of tasks that know their inputs, on an event loop of a test's own."""

    def __init__(self, store: Store, **given: int) -> None:
        self.loop = asyncio.new_event_loop()
        chosen = Settings(store=Path(str(store.files)), **given)  # type: ignore[arg-type]
        self.engine = build_engine(chosen, Telemetry(CollectorRegistry()))
        self.loop.run_until_complete(self.engine.start())

    def close(self) -> None:
        self.loop.run_until_complete(self.engine.close())
        self.loop.close()

    async def infer(self, rows: Rows, session: Session | None = None) -> Prediction:
        question = Question(session=session)
        return await self.engine.predictor.infer(rows, question, Terms("caller"))

    def ask(self, rows: Rows, session: Session | None = None) -> Prediction:
        return self.loop.run_until_complete(self.infer(rows, session))

    def found(self, rows: Rows, session: Session | None = None) -> Identification:
        found = self.ask(rows, session).identification
        assert found is not None
        return found


@pytest.fixture
def known_store(tmp_path: Path, network: FrozenNetwork, make_artifact: MakeArtifact) -> Store:
    store = Store.create(tmp_path / "store", network)
    for number in range(TASKS):
        store.publish(f"known-{number}", knowing(network, make_artifact(number), number))
    store.publish("bare", make_artifact(50))
    return store


@pytest.fixture
def service(known_store: Store) -> Iterator[Service]:
    made = Service(known_store)
    yield made
    made.close()


def mixed_rows(one: int, other: int, share: float, count: int, seed: int) -> Rows:
    """Rows between those of two tasks."""
    rows = rows_of(one, count, seed=seed) * share + rows_of(other, count, seed=seed) * (1 - share)
    return rows.astype(np.float32)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    tasks=st.tuples(st.integers(0, TASKS), st.integers(0, TASKS)),
    share=st.sampled_from([0.4, 0.5, 0.8, 1.0]),
    seed=st.integers(3, 1000),
)
def test_rows_one_after_the_other_are_worth_what_they_are_at_once(
    service: Service, sizes: list[int], tasks: tuple[int, int], share: float, seed: int
) -> None:
    rows = mixed_rows(*tasks, share, sum(sizes), seed)
    at_once, ends = service.ask(rows), np.cumsum(sizes).tolist()
    for start, end in itertools.pairwise([0, *ends]):
        answer = service.ask(rows[start:end], Session("a stream", anew=start == 0))
        assert answer.identification is not None
        assert answer.identification.rows == end
    found, expected = answer.identification, at_once.identification
    assert found is not None
    assert expected is not None
    assert [one.task for one in found.candidates] == [one.task for one in expected.candidates]
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
    assert found.margin_nats == pytest.approx(expected.margin_nats, rel=1e-5, abs=1e-5)
    assert (found.strangeness is None) == (expected.strangeness is None)
    assert (found.strangeness or 0) == pytest.approx(expected.strangeness or 0, rel=1e-5)
    assert found.best.entropy_nats == pytest.approx(expected.best.entropy_nats, rel=1e-5, abs=1e-6)
    assert answer.task is at_once.task
    if answer.logits is not None and at_once.logits is not None:
        assert len(answer.logits) == sizes[-1]
        assert np.allclose(answer.logits, at_once.logits[-sizes[-1] :], atol=1e-4)


def test_stream_of_single_rows_is_recognised_after_some(service: Service) -> None:
    # Of rows between two tasks it would be named, since it knows nothing of them.
    service.loop.run_until_complete(service.engine.registry.delete("bare"))
    rows = mixed_rows(2, 3, 0.505, 17, seed=5)[1:]
    found = [service.found(rows[n : n + 1], SESSION) for n in range(16)]
    alone = [service.found(rows[n : n + 1]) for n in range(16)]
    assert {one.best.task.task_id for one in alone} == {"known-2", "known-3"}
    assert found[0].confidence < 0.9
    assert found[0].confidence == pytest.approx(alone[0].confidence, abs=1e-5)
    assert found[-1].best.task.task_id == "known-2"
    assert found[-1].confidence > 0.99
    assert [one.rows for one in found] == list(range(1, 17))


def test_task_that_is_deleted_or_replaced_meanwhile_is_not_named_by_what_it_was(
    service: Service, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    rows, registry = rows_of(2, 9), service.engine.registry
    assert service.found(rows[:3], SESSION).best.task.task_id == "known-2"
    service.loop.run_until_complete(registry.delete("known-2"))
    found = service.found(rows[3:6], SESSION)
    assert "known-2" not in {one.task.task_id for one in found.candidates}
    # Anew, and what was another's before.
    for task_id, number in (("known-2", 3), ("known-3", 2)):
        artifact = knowing(network, make_artifact(90 + number), number)
        service.loop.run_until_complete(registry.publish(task_id, artifact.content))
    found = service.found(rows[6:], SESSION)
    assert found.rows == 9
    assert found.best.task.task_id == "known-3"
    assert found.confidence == pytest.approx(service.found(rows).confidence, abs=1e-5)


def test_rows_of_a_request_that_was_refused_do_not_count(known_store: Store) -> None:
    few = {"max_request_rows": 4, "max_inference_queue_rows": 4, "session_rows": 4}
    service, go_on = Service(known_store, **few), threading.Event()
    rows = rows_of(1, 4)

    async def fill_and_ask() -> None:
        holding = service.engine.unnamed.questions.ask(go_on.wait, 1, Terms("another"))
        under_way = asyncio.create_task(holding)
        await asyncio.sleep(0)
        waiting = asyncio.create_task(service.infer(rows))
        await asyncio.sleep(0)
        try:
            with pytest.raises(Saturated):
                await service.infer(rows[:2], SESSION)
        finally:
            go_on.set()
        await asyncio.gather(under_way, waiting)

    service.loop.run_until_complete(fill_and_ask())
    assert service.found(rows[:1], SESSION).rows == 1
    assert service.found(rows[:1], SESSION).rows == 2
    service.close()
