"""Answers of task inference that are kept, by content."""

import gc
import weakref

import numpy as np
import pytest

from model_store.network import FrozenNetwork
from service.engine.inference.identification import Candidate, Identification
from service.engine.inference.kept_answers import Found, KeptAnswers
from service.engine.inference.question import PLAIN_QUESTION
from service.engine.registry.task_table import RegisteredTask
from service.watching.telemetry import Telemetry
from tests.service.artifacts import MakeArtifact, registered

ROWS = np.random.default_rng(1).random((4, 20), dtype=np.float32)
PLENTY = 1 << 20


@pytest.fixture
def tasks(network: FrozenNetwork, make_artifact: MakeArtifact) -> tuple[RegisteredTask, ...]:
    return tuple(registered(network, f"task-{seed}", make_artifact(seed)) for seed in range(3))


def found_among(tasks: tuple[RegisteredTask, ...], rows: int = 4) -> Found:
    every = np.random.default_rng(2).random((len(tasks), rows, 6), dtype=np.float32)
    candidates = tuple(
        Candidate(task, 0.1 * number, logits)
        for number, (task, logits) in enumerate(zip(tasks, every, strict=True))
    )
    return (Identification("auto", candidates, 2.0, (0.8, 0.1, 0.1)[: len(tasks)], 1.0),)


def counted(telemetry: Telemetry) -> tuple[float, float, float]:
    values = [
        telemetry.registry.get_sample_value(f"impress_inference_cache_{name}")
        for name in ("queries_total", "hits_total", "bytes")
    ]
    return values[0] or 0, values[1] or 0, values[2] or 0


def test_same_rows_asked_the_same_are_answered_by_what_was_found(
    telemetry: Telemetry, tasks: tuple[RegisteredTask, ...]
) -> None:
    kept, found = KeptAnswers(PLENTY, telemetry.kept_answers), found_among(tasks)
    key = kept.key(ROWS, ("acme", PLAIN_QUESTION))
    assert kept.find(key, tasks) is None
    kept.keep(key, tasks, found)
    (again,) = kept.find(kept.key(ROWS.copy(), ("acme", PLAIN_QUESTION)), tasks) or ()
    (first,) = found
    assert np.array_equal(again.best.logits, first.best.logits)
    assert (again.margin_nats, again.probabilities) == (first.margin_nats, first.probabilities)
    told = [[(one.task, one.entropy_nats) for one in each.candidates] for each in (again, first)]
    assert told[0] == told[1]
    assert counted(telemetry)[:2] == (2, 1)


def test_other_rows_questions_tenants_and_shapes_are_other_questions(
    telemetry: Telemetry, tasks: tuple[RegisteredTask, ...]
) -> None:
    kept = KeptAnswers(PLENTY, telemetry.kept_answers)
    key = kept.key(ROWS, (None, PLAIN_QUESTION))
    kept.find(key, tasks)
    kept.keep(key, tasks, found_among(tasks))
    other = ROWS.copy()
    other[3, 19] += 1e-6
    for one in (
        kept.key(other, (None, PLAIN_QUESTION)),
        kept.key(ROWS, ("acme", PLAIN_QUESTION)),
        kept.key(ROWS, (None, "another question")),
        kept.key(ROWS.reshape(8, 10), (None, PLAIN_QUESTION)),
    ):
        assert kept.find(one, tasks) is None
    assert kept.find(key, tasks) is not None


def test_nothing_outlives_a_change_of_tasks_nor_is_kept_from_before_it(
    telemetry: Telemetry, tasks: tuple[RegisteredTask, ...]
) -> None:
    kept = KeptAnswers(PLENTY, telemetry.kept_answers)
    key, now = kept.key(ROWS, None), (*tasks[:2], tasks[2])
    assert kept.find(key, tasks) is None
    kept.keep(key, tasks, found_among(tasks))
    assert kept.find(key, now) is None
    assert counted(telemetry)[2] == 0
    kept.keep(key, tasks, found_among(tasks))  # its search began before the change
    assert kept.find(key, now) is None


def test_what_is_kept_stays_within_its_bytes_the_oldest_going_first(
    telemetry: Telemetry, tasks: tuple[RegisteredTask, ...]
) -> None:
    kept = KeptAnswers(2200, telemetry.kept_answers)
    keys = [kept.key(ROWS + number, None) for number in range(4)]
    for key in keys[:2]:
        kept.find(key, tasks)
        kept.keep(key, tasks, found_among(tasks))
    assert kept.find(keys[0], tasks) is not None  # so the other is the oldest
    kept.keep(keys[2], tasks, found_among(tasks))
    assert [kept.find(key, tasks) is not None for key in keys] == [True, False, True, False]
    assert 0 < counted(telemetry)[2] <= 2200
    kept.keep(keys[3], tasks, found_among(tasks, rows=500))
    assert kept.find(keys[3], tasks) is None
    assert kept.find(keys[0], tasks) is not None


def test_logits_of_others_than_the_best_are_not_held(
    telemetry: Telemetry, tasks: tuple[RegisteredTask, ...]
) -> None:
    kept, found = KeptAnswers(PLENTY, telemetry.kept_answers), found_among(tasks)
    key = kept.key(ROWS, None)
    kept.find(key, tasks)
    kept.keep(key, tasks, found)
    together = weakref.ref(found[0].best.logits.base)
    del found
    gc.collect()
    assert together() is None


@pytest.mark.parametrize(("most", "rows"), [(0, 4), (PLENTY, 14_000)])
def test_nothing_is_looked_up_where_nothing_is_kept_or_the_rows_are_too_many(
    telemetry: Telemetry, tasks: tuple[RegisteredTask, ...], most: int, rows: int
) -> None:
    kept = KeptAnswers(most, telemetry.kept_answers)
    key = kept.key(np.zeros((rows, 20), np.float32), None)
    assert key is None
    kept.keep(key, tasks, found_among(tasks))
    assert kept.find(key, tasks) is None
    assert counted(telemetry) == (0, 0, 0)
