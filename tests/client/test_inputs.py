import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from client.errors import InvalidInput
from client.inputs import Picture, picture_of, picture_or_rows, rows_of

FINITE = st.floats(-1e6, 1e6, width=32)


@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float64]),
        arrays.array_shapes(min_dims=2, max_dims=4, max_side=5),
        elements=FINITE,
    )
)
def test_rows_are_the_numbers_in_row_major_order_whatever_their_layout(values: np.ndarray) -> None:
    expected = values.reshape(len(values), -1).astype(np.float32)
    for given_as in (values, np.asfortranarray(values), values.tolist()):
        rows = rows_of(given_as)
        assert rows.dtype == np.dtype("<f4")
        assert rows.flags.c_contiguous
        assert np.array_equal(rows, expected)


def test_one_dimension_is_one_row() -> None:
    assert rows_of([0.25, 0.5, 1]).tolist() == [[0.25, 0.5, 1]]
    assert rows_of(np.array([True, False])).tolist() == [[1, 0]]
    assert rows_of(np.array([[1, 0]])).tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([[0, 255]], np.uint8), "divide bytes by 255"),
        ([[1, 2], [3]], "rows of one length"),
        ([["a"]], "rows of numbers"),
        (np.array([[1j]]), "rows of numbers"),
        ([], "one row of numbers or more"),
        (np.empty((0, 4)), "one row of numbers or more"),
        (np.float32(1), "one row of numbers or more"),
        ([[float("nan")]], "finite"),
        ([[float("inf")]], "finite"),
        ([[None]], "rows of numbers"),
    ],
)
def test_what_cannot_be_predicted_on_is_refused_before_it_is_sent(
    values: list[object], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        rows_of(values)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA"])
def test_a_picture_is_sent_without_loss(mode: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 4, 3), np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    sent = picture_or_rows(image)
    assert isinstance(sent, Picture)
    assert sent.media_type == "image/png"
    with Image.open(io.BytesIO(sent.content)) as read:
        assert read.convert("RGBA").tobytes() == image.convert("RGBA").tobytes()


def test_a_picture_whose_colours_no_png_has_is_converted() -> None:
    image = Image.new("CMYK", (3, 2), (10, 20, 30, 40))
    sent = picture_or_rows(image)
    assert isinstance(sent, Picture)
    with Image.open(io.BytesIO(sent.content)) as read:
        assert read.tobytes() == image.convert("RGB").tobytes()


@pytest.mark.parametrize(("form", "media"), [("PNG", "image/png"), ("JPEG", "image/jpeg")])
def test_a_pictures_bytes_are_known_by_how_they_begin(form: str, media: str) -> None:
    content = io.BytesIO()
    Image.new("L", (2, 2)).save(content, form)
    assert picture_of(content.getvalue()) == Picture(content.getvalue(), media)
    assert picture_of(content.getvalue()[1:]) is None
