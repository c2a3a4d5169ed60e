import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masked_network.row_threads import RowThreads


@given(count=st.integers(1, 5), rows=st.integers(0, 40), fewest=st.integers(1, 20))
def test_every_row_is_in_one_share(count: int, rows: int, fewest: int) -> None:
    shares: dict[int, range] = {}
    RowThreads(count).run(
        lambda share, some: shares.update({share: range(rows)[some]}), rows, fewest
    )
    assert [row for share in sorted(shares) for row in shares[share]] == list(range(rows))
    assert sorted(shares) == list(range(len(shares)))
    assert len(shares) <= count
    assert len(shares) == 1 or min(map(len, shares.values())) >= fewest


def test_shares_are_computed_side_by_side() -> None:
    together = threading.Barrier(3, timeout=10)
    RowThreads(3).run(lambda share, rows: together.wait(), 3)


def test_what_shares_make_comes_in_their_order() -> None:
    assert RowThreads(3).run(lambda share, rows: (share, rows.start), 9) == [(0, 0), (1, 3), (2, 6)]


def test_what_a_share_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        RowThreads(2).run(lambda share, rows: 1 // share, 2)
