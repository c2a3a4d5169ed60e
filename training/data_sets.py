"""Data sets by name: `digits`, a CSV file, a local folder, or a name on the Hugging Face hub.

A folder holds CSV files, parquet files in the hub's layout, or a folder of images for each class.
"""

import os
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from model_store.preprocessing import Preprocessing
from training.csv_files import csv_files, csv_image_set
from training.errors import DataError
from training.image_sets import ImageSet, LabelledImages, image_set
from training.pictures import (
    EncodedPicture,
    ImageSize,
    PictureSize,
    decode_pictures,
    to_pixels,
)

_DIGITS_HELD_OUT_SHARE = 0.25  # of the 80 % that are not test data: 60/20/20


@dataclass(frozen=True)
class Reading:
    """How a data set is to be read, where it leaves that open."""

    label_column: str | None = None
    image_size: ImageSize | None = None
    """Where no store decides the size; the first training image's where this is None too."""
    skip_unreadable: bool = False
    """Leave out pictures that cannot be read, and count them; else they are refused."""


PLAIN_READING = Reading()


def load_image_set(
    source: str, preprocessing: Preprocessing | None = None, reading: Reading = PLAIN_READING
) -> ImageSet:
    """Read a whole data set into memory.

    `source` is `digits`, a CSV file, a folder, or a hub name. Images are brought to the size and
    colour of `preprocessing`, or else of the first training image. Raises `DataError`.
    """
    size = PictureSize.of(preprocessing) if preprocessing else None
    if source == "digits":
        return _digits(size, reading.image_size)
    path = Path(source).expanduser()
    if path.suffix.lower() == ".csv" and not path.exists():
        raise DataError(f"no file at {source}")
    if files := csv_files(path):
        name = path.resolve().stem
        return csv_image_set(name, files, size, reading.label_column, reading.image_size)
    return _hub_layout(source, size, reading)


def _digits(size: PictureSize | None, image_size: ImageSize | None) -> ImageSet:
    # Imported here because it takes a second that other data sets need not pay.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)  # [N, 8, 8]
    size = size or PictureSize(1, *pixels.shape[1:]).resized(image_size)
    images = [to_pixels(Image.fromarray(picture), size, "a digit") for picture in pixels]
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    whole = LabelledImages(torch.from_numpy(np.stack(images)), labels)
    classes = tuple(str(name) for name in bunch.target_names)
    return image_set("digits", classes, whole, None, _DIGITS_HELD_OUT_SHARE)


def _hub_layout(source: str, size: PictureSize | None, reading: Reading) -> ImageSet:
    folder = Path(source).expanduser()
    local = folder.exists()
    if not local and (source.startswith((".", "/", "~")) or source.count("/") > 1):
        raise DataError(f"no folder at {source}")
    if local and not folder.is_dir():
        raise DataError(
            f"{source} is a file; a CSV file was expected, or a folder (CSV, parquet, images)"
        )
    # A folder's tables are read once and dropped, so they need not stay in the user's cache.
    cache: AbstractContextManager[str | None] = (
        tempfile.TemporaryDirectory(prefix="impress-data-") if local else nullcontext()
    )
    name = folder.resolve().name if local else source
    with cache as cache_folder:
        splits = _splits(str(folder.resolve()) if local else source, cache_folder)
        image_column, label_column, classes = _columns(name, splits["train"], reading.label_column)
        parts: dict[str, LabelledImages] = {}
        skipped = 0
        for split in ("train", "test"):
            if split in splits:
                where = f"{name}, {split}"
                table = splits[split].select_columns([image_column, label_column])
                parts[split], left_out = _decoded(
                    where, table, image_column, label_column, size, reading
                )
                skipped += left_out
                size = PictureSize(*parts[split].images.shape[1:])
    found = image_set(name, classes, parts["train"], parts.get("test"))
    return replace(found, skipped=skipped)


def _splits(source: str, cache_folder: str | None) -> Mapping[str, Any]:
    # Imported here because it takes seconds that `digits` need not pay.
    import datasets
    from datasets.exceptions import DatasetsError

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    try:
        splits: Mapping[str, Any] = datasets.load_dataset(source, cache_dir=cache_folder)
    except (DatasetsError, OSError, ValueError) as error:
        # The library's own error often says no more than that there was one; its cause does.
        cause = error.__cause__ or error
        reason = str(cause).strip().splitlines() or [type(cause).__name__]
        raise DataError(f"cannot read the data set {source}: {reason[0]}") from error
    if "train" not in splits:
        raise DataError(f"{source} has no split 'train'; it has {', '.join(sorted(splits))}")
    return splits


def _columns(name: str, table: Any, label_column: str | None) -> tuple[str, str, tuple[str, ...]]:
    from datasets import ClassLabel, Image

    pictures = [column for column, kind in table.features.items() if isinstance(kind, Image)]
    labels = [column for column, kind in table.features.items() if isinstance(kind, ClassLabel)]
    columns = ", ".join(table.features)
    if len(pictures) != 1:
        raise DataError(f"{name}: expected one image column, found {len(pictures)} in {columns}")
    if label_column is not None and label_column not in labels:
        raise DataError(
            f"{name}: no label column {label_column!r}; there is: {', '.join(labels) or 'none'}"
        )
    if label_column is None and len(labels) != 1:
        found = ", ".join(labels) or f"none in {columns}"
        raise DataError(f"{name}: name the label column with --label-column; found: {found}")
    column = label_column or labels[0]
    return pictures[0], column, tuple(table.features[column].names)


def _decoded(
    where: str,
    table: Any,
    image_column: str,
    label_column: str,
    size: PictureSize | None,
    reading: Reading,
) -> tuple[LabelledImages, int]:
    from datasets import Image

    if not len(table):
        raise DataError(f"{where}: no rows")
    labels = torch.tensor(table[label_column][:], dtype=torch.int64)
    if int(labels.min()) < 0:
        raise DataError(f"{where}: there are images without a label")
    stored = table.cast_column(image_column, Image(decode=False))[image_column][:]
    encoded = [_encoded(f"{where}: picture {number}", row) for number, row in enumerate(stored)]
    images, readable = decode_pictures(encoded, size, reading.image_size, reading.skip_unreadable)
    return LabelledImages(images, labels[readable]), int((~readable).sum())


def _encoded(what: str, row: dict[str, Any] | None) -> EncodedPicture:
    if row is None or (row["bytes"] is None and row["path"] is None):
        raise DataError(f"{what}: there are rows without an image")
    if row["bytes"] is not None:
        return EncodedPicture(what, row["bytes"])
    path = Path(os.fspath(row["path"]))
    return EncodedPicture(f"{what} ({path.parent.name}/{path.name})", path)
