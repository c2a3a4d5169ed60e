"""Images from CSV files: a row an image, a column its label, all other columns its pixels.

Refuses a file with a row that is not whole; leaves none out.
"""

import csv
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from training.errors import DataError
from training.image_sets import ImageSet, LabelledImages, image_set
from training.pictures import ImageSize, PictureSize, to_pixels

DEFAULT_LABEL_COLUMN = "label"

_BLOCK_BYTES = 1 << 26  # no row may be longer
_FEW = 4
_INVALID = re.compile(r"In CSV column #(\d+): Row #(\d+): .*invalid value '(.*)'", re.DOTALL)


def csv_files(source: Path) -> dict[str, Path]:
    """The files of `train` and `test` data; empty where the source is no CSV data.

    A file that is named so, a folder with `train.csv` and perhaps `test.csv`, or one with a CSV
    file alone.
    """
    if source.is_file():
        return {"train": source} if source.suffix.lower() == ".csv" else {}
    if not source.is_dir():
        return {}
    named = {split: source / f"{split}.csv" for split in ("train", "test")}
    if named["train"].is_file():
        return {split: path for split, path in named.items() if path.is_file()}
    found = [path for path in source.iterdir() if not path.name.startswith(".")]
    return csv_files(found[0]) if len(found) == 1 and found[0].is_file() else {}


def csv_image_set(
    name: str,
    files: Mapping[str, Path],
    size: PictureSize | None,
    label_column: str | None,
    image_size: ImageSize | None,
) -> ImageSet:
    """The data set of the files that `csv_files` found; its classes in the order of their numbers.

    Pixels are whole numbers from 0 to 255, row by row, and where there are three channels, red,
    green and blue of a pixel together. `size` or `image_size` is the images' own shape where as
    many columns are there; else they are square, and brought to that size. Raises `DataError`.
    """
    label_column = DEFAULT_LABEL_COLUMN if label_column is None else label_column
    columns = _pixel_columns(files["train"], label_column)
    asked = (size.width, size.height) if size else image_size
    shape = _shape(files["train"].name, len(columns), asked)
    read = {split: _read(path, label_column, columns) for split, path in files.items()}
    classes = _classes(read["train"][0])
    numbers = {label: number for number, label in enumerate(classes)}
    parts = {}
    for split, (labels, pixels) in read.items():
        where = files[split].name
        if unknown := sorted(set(labels) - set(classes)):
            raise DataError(f"{where}: the training data has no class {unknown[0]!r}")
        parts[split] = LabelledImages(
            _images(where, pixels, shape, size or shape.resized(image_size)),
            torch.tensor([numbers[label] for label in labels], dtype=torch.int64),
        )
    return image_set(name, classes, parts["train"], parts.get("test"))


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}: its first line names no columns: {error}") from error


def _pixel_columns(path: Path, label_column: str) -> list[str]:
    header = _header(path)
    if not header:
        raise DataError(f"{path.name} is empty; a line of column names was expected first")
    if label_column not in header:
        raise DataError(
            f"{path.name} has no column {label_column!r}, it has {_few(header)}; name that of the "
            "labels with --label-column"
        )
    name, times = Counter(header).most_common(1)[0]
    if times > 1:
        raise DataError(f"{path.name} has {times} columns {name!r}")
    return [name for name in header if name != label_column]


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(repr(name) for name in names[:_FEW]) + more


def _shape(where: str, pixels: int, asked: ImageSize | None) -> PictureSize:
    for channels in (1, 3):
        if asked is not None and channels * asked[0] * asked[1] == pixels:
            return PictureSize(channels, asked[1], asked[0])
    for channels in (1, 3):
        side = math.isqrt(pixels // channels)
        if side and channels * side**2 == pixels:
            return PictureSize(channels, side, side)
    wanted = "" if asked is None else f", nor images of {asked[0]}x{asked[1]}"
    raise DataError(
        f"{where}: {pixels} pixel columns make no square images of 1 or 3 channels{wanted}; give "
        "their shape with --image-size WIDTHxHEIGHT"
    )


def _read(path: Path, label_column: str, columns: list[str]) -> tuple[list[str], NDArray[np.uint8]]:
    present = set(_header(path))
    if missing := [name for name in (label_column, *columns) if name not in present]:
        raise DataError(
            f"{path.name} has no column {missing[0]!r}, which the training data has; give the "
            "training file alone, and test data are split off it"
        )
    table = _table(path, label_column, columns)
    if not table.num_rows:
        raise DataError(f"{path.name} has a line of column names and no rows")
    labels: list[str] = table.column(label_column).to_pylist()
    if "" in labels:
        raise DataError(f"{path.name}, line {labels.index('') + 2}: there is no label")
    pixels = np.empty((table.num_rows, len(columns)), dtype=np.uint8)
    for place, name in enumerate(columns):
        values = table.column(name).to_numpy()
        whole = (values >= 0) & (values <= 255) & (values == np.rint(values))
        if not whole.all():
            row = int(np.argmin(whole))
            raise _no_pixel(path, row + 2, name, f"{values[row]:g}")
        pixels[:, place] = values
    return labels, pixels


def _table(path: Path, label_column: str, columns: list[str]) -> Any:
    import pyarrow  # here, as it takes time that other data sets need not pay
    from pyarrow import csv as arrow

    torn: list[Any] = []

    def hear(row: Any) -> str:
        torn.append(row)
        return "error"

    types = {label_column: pyarrow.string()} | dict.fromkeys(columns, pyarrow.float32())
    try:
        # With one thread, as with several no error can say in which line it is.
        return arrow.read_csv(
            path,
            arrow.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            arrow.ParseOptions(invalid_row_handler=hear),
            arrow.ConvertOptions(
                column_types=types, include_columns=[label_column, *columns], null_values=[]
            ),
        )
    except pyarrow.ArrowInvalid as error:
        if torn:
            raise DataError(
                f"{path.name}, line {torn[0].number}: expected {torn[0].expected_columns} values, "
                f"got {torn[0].actual_columns}"
            ) from error
        if match := _INVALID.search(str(error)):
            name = _header(path)[int(match[1])]
            raise _no_pixel(path, int(match[2]), name, match[3]) from error
        raise DataError(f"cannot read {path.name}: {error}") from error


def _no_pixel(path: Path, line: int, column: str, value: str) -> DataError:
    return DataError(
        f"{path.name}, line {line}, column {column!r}: expected a whole number from 0 to 255, got "
        f"{value[:40]!r}"
    )


def _classes(labels: list[str]) -> tuple[str, ...]:
    names = set(labels)
    if all(re.fullmatch(r"-?[0-9]{1,18}", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _images(
    where: str, pixels: NDArray[np.uint8], shape: PictureSize, size: PictureSize
) -> torch.Tensor:
    rows = pixels.reshape(-1, shape.height, shape.width, shape.channels)
    if shape == size:
        return torch.from_numpy(np.ascontiguousarray(rows.transpose(0, 3, 1, 2)))
    pictures = [Image.fromarray(row[:, :, 0] if shape.channels == 1 else row) for row in rows]
    return torch.from_numpy(np.stack([to_pixels(each, size, where) for each in pictures]))
