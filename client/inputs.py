"""Arrays, lists and pictures to what is sent: float32 rows, or a PNG. The service knows sizes."""

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from client.errors import InvalidInput
from client.results import Floats

if TYPE_CHECKING:
    from PIL.Image import Image

RowsLike: TypeAlias = "NDArray[Any] | Sequence[Any]"
"""`[n, ...]`, or one row: intensities in 0..1, channels first."""
Inputs: TypeAlias = "RowsLike | Image | Picture"


@dataclass(frozen=True, slots=True)
class Picture:
    """The bytes of a PNG or JPEG file, sent as they are."""

    content: bytes
    media_type: str


def picture_of(content: bytes) -> Picture | None:
    """What the bytes are by how they begin; None where they are neither PNG nor JPEG."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return Picture(content, "image/png")
    if content.startswith(b"\xff\xd8\xff"):
        return Picture(content, "image/jpeg")
    return None


def rows_of(values: RowsLike) -> Floats:
    """`[n, d]`, float32 in row-major order; one row where `values` has one dimension.

    Raises `InvalidInput` for what is no numbers, none at all, not finite, or bytes of 0 to 255.
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise InvalidInput("expected rows of one length, got rows of several") from None
    if array.dtype.kind not in "biuf":
        raise InvalidInput(f"expected rows of numbers, got {array.dtype.name}")
    if not array.size or not array.ndim:
        raise InvalidInput(f"expected one row of numbers or more, got shape {list(array.shape)}")
    if array.dtype.kind in "iu" and array.max() > 1:
        raise InvalidInput(
            f"expected intensities in 0..1, got {array.dtype.name} up to {array.max()}: "
            "divide bytes by 255"
        )
    if array.ndim == 1:
        array = array[np.newaxis]
    rows = np.ascontiguousarray(array.reshape(len(array), -1), dtype="<f4")  # [n, d]
    if not np.isfinite(rows).all():
        raise InvalidInput("expected finite numbers, got NaN or infinity")
    return rows


def picture_or_rows(inputs: Inputs) -> "Picture | Floats":
    """Pictures as PNG, which loses nothing; anything else as `rows_of`."""
    if isinstance(inputs, Picture):
        return inputs
    # Where no one has imported Pillow nothing is an image of its, and it may not be installed.
    pillow = sys.modules.get("PIL.Image")
    if pillow is None or not isinstance(inputs, pillow.Image):
        return rows_of(inputs)  # type: ignore[arg-type]  # what is left of Inputs
    content = io.BytesIO()
    try:
        inputs.save(content, "PNG")
    except OSError:  # no PNG has these colours
        inputs.convert("RGB").save(content, "PNG")
    return Picture(content.getvalue(), "image/png")
