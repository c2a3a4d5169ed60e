"""Data sets by name: `digits`, a local folder, or a name on the Hugging Face hub.

A folder holds parquet files in the hub's layout, or a folder of images for each class.
"""

import os
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from model_store.preprocessing import Preprocessing
from training.errors import DataError
from training.image_sets import ImageSet, LabelledImages, image_set
from training.pictures import (
    PictureSize,
    decode_pictures,
    open_picture,
    picture_size,
    to_pixels,
)

_DIGITS_HELD_OUT_SHARE = 0.25  # of the 80 % that are not test data: 60/20/20


def load_image_set(
    source: str, preprocessing: Preprocessing | None = None, label_column: str | None = None
) -> ImageSet:
    """Read a whole data set into memory.

    `source` is `digits`, a folder, or a hub name. Images are brought to the size and colour of
    `preprocessing`, or else of the first training image. Raises `DataError`.
    """
    size = PictureSize.of(preprocessing) if preprocessing else None
    if source == "digits":
        return _digits(size)
    return _hub_layout(source, size, label_column)


def _digits(size: PictureSize | None) -> ImageSet:
    # Imported here because it takes a second that other data sets need not pay.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)  # [N, 8, 8]
    size = size or PictureSize(1, *pixels.shape[1:])
    images = [to_pixels(Image.fromarray(picture), size, "a digit") for picture in pixels]
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    whole = LabelledImages(torch.from_numpy(np.stack(images)), labels)
    classes = tuple(str(name) for name in bunch.target_names)
    return image_set("digits", classes, whole, None, _DIGITS_HELD_OUT_SHARE)


def _hub_layout(source: str, size: PictureSize | None, label_column: str | None) -> ImageSet:
    folder = Path(source).expanduser()
    local = folder.exists()
    if not local and (source.startswith((".", "/", "~")) or source.count("/") > 1):
        raise DataError(f"no folder at {source}")
    if local and not folder.is_dir():
        raise DataError(f"{source} is a file; a folder of parquet files or of images was expected")
    # A folder's tables are read once and dropped, so they need not stay in the user's cache.
    cache: AbstractContextManager[str | None] = (
        tempfile.TemporaryDirectory(prefix="impress-data-") if local else nullcontext()
    )
    name = folder.resolve().name if local else source
    with cache as cache_folder:
        splits = _splits(str(folder.resolve()) if local else source, cache_folder)
        image_column, label_column, classes = _columns(name, splits["train"], label_column)
        parts: dict[str, LabelledImages] = {}
        for split in ("train", "test"):
            if split in splits:
                where = f"{name}, {split}"
                table = splits[split].select_columns([image_column, label_column])
                parts[split] = _decoded(where, table, image_column, label_column, size)
                size = PictureSize(*parts[split].images.shape[1:])
    return image_set(name, classes, parts["train"], parts.get("test"))


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
    where: str, table: Any, image_column: str, label_column: str, size: PictureSize | None
) -> LabelledImages:
    from datasets import Image

    if not len(table):
        raise DataError(f"{where}: no rows")
    labels = torch.tensor(table[label_column][:], dtype=torch.int64)
    if int(labels.min()) < 0:
        raise DataError(f"{where}: there are images without a label")
    stored = table.cast_column(image_column, Image(decode=False))[image_column][:]
    encoded = [_encoded(where, row) for row in stored]
    size = size or picture_size(open_picture(encoded[0], f"{where}: picture 0"))
    return LabelledImages(decode_pictures(encoded, size, where), labels)


def _encoded(where: str, row: dict[str, Any] | None) -> bytes | Path:
    if row is None or (row["bytes"] is None and row["path"] is None):
        raise DataError(f"{where}: there are rows without an image")
    return row["bytes"] if row["bytes"] is not None else Path(os.fspath(row["path"]))
