"""What tells a writer whose answer was lost what came of its segment."""

import pytest

from model_store.segment_list import SegmentList
from model_store.shared_list import Read, was_listed


def read(numbers: range, gathered: range = range(0)) -> Read:
    return Read(SegmentList(tuple(numbers), tuple(gathered)), {}, 0.0)


def test_number_that_is_listed_or_was_gathered_since_was_listed() -> None:
    before = read(range(1, 5))
    assert was_listed(5, before, read(range(1, 8)))
    assert was_listed(5, before, read(range(8, 9), range(1, 8)))


def test_number_that_is_neither_was_not_listed_while_all_that_was_gathered_is_known() -> None:
    before = read(range(1, 5))
    assert not was_listed(5, before, before)
    assert not was_listed(5, before, read(range(6, 9), range(1, 5)))
    later = read(range(900, 901), range(600, 1112))
    assert not was_listed(5, read(range(650, 651), range(400, 620)), later)


def test_number_that_may_have_been_gathered_and_forgotten_is_not_known() -> None:
    later = read(range(2000, 2001), range(600, 1112))
    for gathered in (range(0), range(1, 5)):
        with pytest.raises(OSError, match="not known"):
            was_listed(5, read(range(5, 6), gathered), later)
    assert not was_listed(5, None, later)
