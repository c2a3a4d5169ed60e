"""A picture's bytes to one row of intensities, as the store's tasks were trained on them."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from model_store.preprocessing import Preprocessing
from service.errors import InvalidInput, MalformedRequest

_FORMATS = ("PNG", "JPEG")


def row_from_image(
    data: bytes, preprocessing: Preprocessing, max_pixels: int
) -> NDArray[np.float32]:
    """Intensities in 0..1, `[1, row_length]`, channels first.

    Converted to the store's colours and resized (bilinear) where the size differs. Raises
    `MalformedRequest` for what is no PNG or JPEG, `InvalidInput` beyond `max_pixels`.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise InvalidInput(
                    f"an image may have {max_pixels} pixels, this one has "
                    f"{image.width} x {image.height}"
                )
            if image.mode.startswith("I"):
                raise InvalidInput("expected 8 bits a channel, got an image of 16")
            picture = image.convert("L" if preprocessing.channels == 1 else "RGB")
    except UnidentifiedImageError:
        raise MalformedRequest(
            f"expected a PNG or JPEG image, got {len(data)} bytes that are neither"
        ) from None
    except Image.DecompressionBombError as error:
        raise InvalidInput(f"an image may have {max_pixels} pixels: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise MalformedRequest(f"the image is damaged: {error}") from error
    size = (preprocessing.width, preprocessing.height)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(picture, dtype=np.float32) / 255  # [H, W] or [H, W, 3]
    if pixels.ndim == 3:
        pixels = pixels.transpose(2, 0, 1)  # [3, H, W]
    return np.ascontiguousarray(pixels, dtype=np.float32).reshape(1, -1)
