"""Places of entries, packed: what was put there comes back, in order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.places import Places
from model_store.segment_file import Place

places = st.builds(
    lambda segment, start, length: Place(segment, start, start + length),
    st.integers(1, 2**40),
    st.integers(0, 2**48 - 1),
    st.integers(0, 2**40 - 1),
)


@given(st.dictionaries(st.text(max_size=4), places, max_size=8), st.text(max_size=4))
def test_it_is_a_dictionary_of_places(expected: dict[str, Place], other: str) -> None:
    found = Places()
    found.update(expected)
    assert list(found.items()) == list(expected.items())
    assert (other in found) == (other in expected)
    assert found.pop(other, None) == expected.pop(other, None)
    assert list(found) == list(expected)
    assert len(found) == len(expected)


@pytest.mark.parametrize("place", [Place(1, 5, 4), Place(1, -1, 4), Place(1, 0, 2**40)])
def test_what_is_no_place_is_refused(place: Place) -> None:
    with pytest.raises(ValueError, match="no place"):
        Places()["a"] = place
