from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.engine.batches.isolation import isolated
from service.engine.registry.entries import Entry, Rows


def entries_of(values: list[int]) -> list[Entry[None]]:
    return [Entry("a", None, np.array([[value]], dtype=np.float32)) for value in values]


@given(st.lists(st.integers(-3, 30), min_size=1, max_size=40))
def test_exactly_those_at_fault_fail(values: list[int]) -> None:
    def doubled(entries: Sequence[Entry[None]]) -> list[Rows]:
        if any(entry.rows[0, 0] < 0 for entry in entries):
            raise ArithmeticError("negative")
        return [entry.rows * 2 for entry in entries]

    answers = isolated(doubled, entries_of(values))
    assert len(answers) == len(values)
    for value, answer in zip(values, answers, strict=True):
        if value < 0:
            assert isinstance(answer, ArithmeticError)
        else:
            assert not isinstance(answer, Exception)
            assert answer.item() == 2 * value


def test_one_bad_entry_among_many_costs_few_computations() -> None:
    calls = 0

    def refusing_zero(entries: Sequence[Entry[None]]) -> list[Rows]:
        nonlocal calls
        calls += 1
        if any(entry.rows[0, 0] == 0 for entry in entries):
            raise ArithmeticError("zero")
        return [entry.rows for entry in entries]

    isolated(refusing_zero, entries_of([1] * 100 + [0] + [1] * 155))
    assert calls == 1 + 2 * 8


def test_what_fails_only_when_large_is_computed_in_parts() -> None:
    def small_only(entries: Sequence[Entry[None]]) -> list[Rows]:
        if len(entries) > 3:
            raise MemoryError
        return [entry.rows for entry in entries]

    answers = isolated(small_only, entries_of(list(range(20))))
    assert [answer.item() for answer in answers if isinstance(answer, np.ndarray)] == [*range(20)]
