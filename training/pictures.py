"""Encoded pictures to uint8 tensors of one size and colour."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from model_store.preprocessing import Preprocessing
from training.errors import DataError

ImageSize = tuple[int, int]
"""Width and height in pixels."""

_GREY_MODES = ("1", "L", "LA")
_DEEP_MODES = ("I", "F")


@dataclass(frozen=True)
class PictureSize:
    """What every picture is brought to: 1 channel is grey, 3 is RGB."""

    channels: int
    height: int
    width: int

    @classmethod
    def of(cls, preprocessing: Preprocessing) -> "PictureSize":
        """The size that a store's tasks are trained and served with."""
        return cls(*preprocessing.input_shape)

    def resized(self, to: ImageSize | None) -> "PictureSize":
        """As many channels, with the width and height asked for, if any."""
        return self if to is None else PictureSize(self.channels, to[1], to[0])


def picture_size(picture: Image.Image) -> PictureSize:
    """A picture's own size; grey where it has no colours."""
    return PictureSize(1 if picture.mode in _GREY_MODES else 3, picture.height, picture.width)


def open_picture(encoded: bytes | Path, what: str) -> Image.Image:
    """Decode; `what` names the picture in the `DataError` raised where it is none."""
    try:
        picture = Image.open(io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded)
        picture.load()
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{what} is no picture that can be read: {error}") from error
    return picture


@dataclass(frozen=True)
class EncodedPicture:
    """A picture as it was found, and what to call it where it cannot be read."""

    what: str
    content: bytes | Path


def decode_pictures(
    encoded: Sequence[EncodedPicture],
    size: PictureSize | None,
    image_size: ImageSize | None = None,
    skip_unreadable: bool = False,
) -> tuple[Tensor, Tensor]:
    """Pictures as uint8 `[M, C, H, W]`, and for each given one whether it is among them, `[N]`.

    Without a `size`, that of the first picture, resized to `image_size` where that is given. Raises
    `DataError` that names the picture at fault; with `skip_unreadable` only where all are.
    """
    pixels, readable = [], []
    for each in encoded:
        try:
            picture = open_picture(each.content, each.what)
            size = size or picture_size(picture).resized(image_size)
            pixels.append(to_pixels(picture, size, each.what))
        except DataError:
            if not skip_unreadable:
                raise
            readable.append(False)
        else:
            readable.append(True)
    if not pixels:
        raise DataError(f"{encoded[0].what} is no picture that can be read, nor is any other")
    return torch.from_numpy(np.stack(pixels)), torch.tensor(readable)


def to_pixels(picture: Image.Image, size: PictureSize, what: str) -> NDArray[np.uint8]:
    """One picture as uint8 `[C, H, W]`, its colours converted, then resized bilinearly.

    Raises `DataError` on more than 8 bits a channel, which conversion would clip.
    """
    if picture.mode.startswith(_DEEP_MODES):
        raise DataError(f"{what} has more than 8 bits a channel (mode {picture.mode})")
    converted = picture.convert("L" if size.channels == 1 else "RGB")
    if converted.size != (size.width, size.height):
        converted = converted.resize((size.width, size.height), Image.Resampling.BILINEAR)
    pixels = np.asarray(converted, dtype=np.uint8)
    return pixels[np.newaxis] if size.channels == 1 else pixels.transpose(2, 0, 1)
