"""Test images of a task as request bodies and as a picture, to try the service with."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from model_store.files import LocalFolder
from training.errors import DataError
from training.image_sets import ImageSet
from training.task_streams import TaskStream

_DECIMALS = 6


def write_samples(
    folder: Path,
    image_set: ImageSet,
    stream: TaskStream,
    index: int,
    task_id: str | None = None,
    rows: int = 4,
    unlabelled_rows: int = 16,
) -> list[Path]:
    """Write four files for one task, and return their paths.

    `<task>.json` is a body for `POST /v1/predict`; `<task>-unlabelled.json` one that does not name
    the task; `<task>.png` the first row as the task sees it; `<task>.labels.json` the right
    answers. Rows are intensities in 0..1, flat, channels first. Raises `StreamError`, `DataError`.
    """
    name = task_id or stream.task_id(index)
    classes = stream.classes(image_set, index)
    test = stream.part(image_set, image_set.test, index)
    if len(test) < max(rows, unlabelled_rows):
        raise DataError(f"{name} has {len(test)} test images, fewer than the rows asked for")
    labels = [classes[label] for label in test.labels[: max(rows, unlabelled_rows)].tolist()]
    contents = {
        f"{name}.json": _json({"task": name, "inputs": _rows(test.images[:rows])}),
        f"{name}-unlabelled.json": _json({"inputs": _rows(test.images[:unlabelled_rows])}),
        f"{name}.png": _png(test.images[0]),
        f"{name}.labels.json": _json(
            {
                "task": name,
                f"{name}.json": labels[:rows],
                f"{name}-unlabelled.json": labels[:unlabelled_rows],
                f"{name}.png": labels[0],
            }
        ),
    }
    files = LocalFolder(folder)
    for file, content in contents.items():
        files.write(file, content)
    return [folder / file for file in contents]


def _rows(images: Tensor) -> list[list[float]]:
    rows: list[list[int]] = images.flatten(start_dim=1).tolist()
    return [[round(value / 255, _DECIMALS) for value in row] for row in rows]


def _png(image: Tensor) -> bytes:
    pixels = image.numpy()  # [C, H, W]
    buffer = io.BytesIO()
    grey = len(pixels) == 1
    Image.fromarray(pixels[0] if grey else np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(
        buffer, format="PNG"
    )
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
