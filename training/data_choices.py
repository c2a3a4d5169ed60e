"""The data set that the command line asks for, read, and what of it had to be left out."""

import re

import typer

from model_store.preprocessing import Preprocessing
from training.data_sets import Reading, load_image_set
from training.errors import OptionError
from training.image_sets import ImageSet
from training.pictures import ImageSize

_IMAGE_SIZE = re.compile(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})")
_MOST_PIXELS = 4096


def parsed_image_size(text: str) -> ImageSize:
    """`WIDTHxHEIGHT` as numbers. Raises `OptionError`."""
    match = _IMAGE_SIZE.fullmatch(text)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < max(width, height) <= _MOST_PIXELS:
        raise OptionError(f"an image size is as 32x24, up to {_MOST_PIXELS} a side, got {text!r}")
    return width, height


def read_data(
    source: str,
    preprocessing: Preprocessing | None,
    label_column: str | None = None,
    skip_unreadable: bool = False,
    image_size: str | None = None,
) -> ImageSet:
    """The data set, in a store's `preprocessing` if there is one; says how much was left out.

    Raises `DataError`, or `OptionError` where the size asked for is not the store's.
    """
    size = None if image_size is None else parsed_image_size(image_size)
    if preprocessing and size not in (None, (preprocessing.width, preprocessing.height)):
        raise OptionError(
            f"the store was made with images of {preprocessing.width}x{preprocessing.height}, "
            f"not {image_size}"
        )
    found = load_image_set(source, preprocessing, Reading(label_column, size, skip_unreadable))
    if found.skipped:
        typer.echo(f"{found.name}: pictures left out since they cannot be read: {found.skipped}")
    return found
