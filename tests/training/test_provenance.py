"""What an artifact's record keeps of how its task was made."""

from hypothesis import given
from hypothesis import strategies as st

from training.provenance import LEFT_OUT, recorded, restored

KEYS = st.sampled_from([*LEFT_OUT, "data", "index", "start_tasks"])
VALUES = st.sampled_from([*LEFT_OUT.values(), "digits", 7])


@given(st.dictionaries(KEYS, VALUES))
def test_what_is_left_out_comes_back(provenance: dict[str, str | int | float]) -> None:
    assert restored(recorded(provenance)) == {**LEFT_OUT, **provenance}


def test_what_differs_from_its_default_is_kept() -> None:
    assert recorded({**LEFT_OUT, "data": "digits"}) == {"data": "digits"}
    assert recorded({"exposure": 0.0, "seed": 0}) == {"exposure": 0.0}
