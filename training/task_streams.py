"""Many tasks from one data set: permuted, rotated, or split by class; or the data set as it is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from masked_network.counter_random import random_permutation
from training.errors import StreamError
from training.image_sets import ImageSet, LabelledImages

StreamKind = Literal["plain", "permuted", "rotated", "split"]

_ROTATION_BATCH = 4096


@dataclass(frozen=True)
class TaskStream:
    """A rule that makes task `index` of a data set, the same on every machine.

    permuted: the pixels in a random order drawn from `seed`, fixed within a task (0 is permuted
    too). rotated: turned by `degrees * index` against the clock. split: the next
    `classes_per_task` classes, labels from 0. plain: the data set as it is, index 0 alone.
    """

    kind: StreamKind
    seed: int = 0
    degrees: float = 10.0
    classes_per_task: int = 2

    def length(self, image_set: ImageSet) -> int | None:
        """How many tasks there are; None where there is no end."""
        if self.kind == "plain":
            return 1
        if self.kind == "split":
            return len(image_set.classes) // self.classes_per_task
        return None

    def task(self, image_set: ImageSet, index: int) -> ImageSet:
        """Task `index` as a data set of its own. Raises `StreamError` where there is none."""
        return ImageSet(
            self.task_id(index),
            self.classes(image_set, index),
            self.part(image_set, image_set.train, index),
            self.part(image_set, image_set.held_out, index),
            self.part(image_set, image_set.test, index),
        )

    def task_id(self, index: int) -> str:
        """The name that a task is published under unless another is given, as `permuted-3`."""
        return f"{self.kind}-{index}"

    def classes(self, image_set: ImageSet, index: int) -> tuple[str, ...]:
        """The task's class names. Raises `StreamError`."""
        length = self.length(image_set)
        if index < 0 or (length is not None and index >= length):
            raise StreamError(
                f"{image_set.name} has {'no end of' if length is None else length} {self.kind} "
                f"tasks, counted from 0; there is no task {index}"
            )
        if self.kind != "split":
            return image_set.classes
        first = index * self.classes_per_task
        return image_set.classes[first : first + self.classes_per_task]

    def part(self, image_set: ImageSet, part: LabelledImages, index: int) -> LabelledImages:
        """One part of the data set as the task sees it. Raises `StreamError`."""
        classes = len(self.classes(image_set, index))
        if self.kind == "permuted":
            return LabelledImages(_permuted(part.images, self.seed, index), part.labels)
        if self.kind == "rotated":
            return LabelledImages(_rotated(part.images, self.degrees * index), part.labels)
        if self.kind == "split":
            return _of_classes(part, index * classes, classes, self.task_id(index))
        return part

    def class_counts(self, image_set: ImageSet, index: int) -> dict[str, int]:
        """How many training images of each class task `index` has, without making them."""
        counts = image_set.class_counts()
        return {name: counts[name] for name in self.classes(image_set, index)}

    def training_images(self, image_set: ImageSet, index: int) -> int:
        """How many images task `index` has to learn from, without making them."""
        return sum(self.class_counts(image_set, index).values())

    def provenance(self, index: int) -> dict[str, str | int | float]:
        """What `stream_task` needs to find the stream and the task again."""
        described: dict[str, str | int | float] = {"stream": self.kind, "index": index}
        if self.kind == "permuted":
            described["stream_seed"] = self.seed
        elif self.kind == "rotated":
            described["degrees"] = self.degrees
        elif self.kind == "split":
            described["classes_per_task"] = self.classes_per_task
        return described


def stream_task(provenance: Mapping[str, str | int | float]) -> tuple[TaskStream, int]:
    """The stream and the index that an artifact's provenance tells of. Raises `StreamError`."""
    kind, index = provenance.get("stream"), provenance.get("index")
    for known in get_args(StreamKind):
        if kind == known and isinstance(index, int):
            stream = TaskStream(
                known,
                int(provenance.get("stream_seed", 0)),
                float(provenance.get("degrees", 0.0)),
                int(provenance.get("classes_per_task", 1)),
            )
            return stream, index
    raise StreamError(f"its provenance names no task of a stream: {kind!r}, index {index!r}")


def _permuted(images: Tensor, seed: int, index: int) -> Tensor:
    pixels = images.shape[2] * images.shape[3]
    order = torch.from_numpy(random_permutation(seed, f"permuted/{index}", pixels))
    return images.flatten(start_dim=2).index_select(2, order).view_as(images)


def _rotated(images: Tensor, degrees: float) -> Tensor:
    if degrees % 360 == 0:
        return images
    height, width = images.shape[2:]
    angle = math.radians(degrees)
    rows = torch.arange(height, dtype=torch.float32) - (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float32) - (width - 1) / 2
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    # Where each pixel comes from, in pixels about the centre, then in grid_sample's -1..1.
    from_x = (x * math.cos(angle) - y * math.sin(angle)) * 2 / width
    from_y = (x * math.sin(angle) + y * math.cos(angle)) * 2 / height
    grid = torch.stack([from_x, from_y], dim=-1).unsqueeze(0)  # [1, H, W, 2]
    turned = []
    for batch in torch.split(images, _ROTATION_BATCH):
        sampled = grid_sample(
            batch.to(torch.float32), grid.expand(len(batch), -1, -1, -1), align_corners=False
        )
        turned.append(sampled.round().clamp(0, 255).to(torch.uint8))
    return torch.cat(turned)


def _of_classes(part: LabelledImages, first: int, count: int, task_id: str) -> LabelledImages:
    wanted = (part.labels >= first) & (part.labels < first + count)
    if not bool(wanted.any()):
        raise StreamError(f"{task_id}: the data set has no images of its classes in one part")
    rows = part.rows(wanted)
    return LabelledImages(rows.images, rows.labels - first)
