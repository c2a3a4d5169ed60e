"""Labelled images in memory, in the three parts that learning, choosing and reporting each use.

Reads nothing: `data_sets` does.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from masked_network.counter_random import random_permutation
from masked_network.devices import CPU
from model_store.preprocessing import Preprocessing
from training.batches import Examples
from training.errors import DataError

_HELD_OUT_SHARE = 0.1
_TEST_SHARE = 0.2
_STATISTICS_BATCH = 4096


@dataclass(frozen=True)
class LabelledImages:
    """Images `[N, C, H, W]`, uint8, and labels `[N]`, int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, indices: Tensor) -> "LabelledImages":
        """These rows, by index `[M]` or by a bool for each row `[N]`."""
        return LabelledImages(self.images[indices], self.labels[indices])

    def examples(self, preprocessing: Preprocessing, device: torch.device = CPU) -> Examples:
        """The same as a backbone's inputs, on that device."""
        # Moved as bytes, a quarter of what the inputs are.
        intensities = self.images.to(device).to(torch.float32) / 255
        return Examples(preprocessing.to_inputs(intensities), self.labels.to(device))


@dataclass(frozen=True)
class ImageSet:
    """A data set: `train` to learn from, `held_out` to choose by, `test` to report only."""

    name: str
    classes: tuple[str, ...]
    train: LabelledImages
    held_out: LabelledImages
    test: LabelledImages
    skipped: int = 0
    """Pictures left out since they could not be read."""

    def fingerprint(self) -> str:
        """`sha256:...` over the class names and every image and label of the three parts."""
        digest = hashlib.sha256("\x00".join(self.classes).encode())
        for part in (self.train, self.held_out, self.test):
            digest.update(str(tuple(part.images.shape)).encode())
            digest.update(part.images.contiguous().numpy().tobytes())
            digest.update(part.labels.numpy().astype("<i8").tobytes())
        return f"sha256:{digest.hexdigest()}"

    def class_counts(self) -> dict[str, int]:
        """How many training images there are of each class."""
        counts = torch.bincount(self.train.labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts, strict=True))

    def preprocessing(self) -> Preprocessing:
        """The images' own size, and the mean and deviation of the training intensities."""
        channels, height, width = self.train.images.shape[1:]
        total, squares, count = 0.0, 0.0, self.train.images.numel()
        for batch in torch.split(self.train.images, _STATISTICS_BATCH):
            intensities = batch.to(torch.float64) / 255
            total += float(intensities.sum())
            squares += float(intensities.square().sum())
        mean = total / count
        deviation = max(squares / count - mean**2, 0.0) ** 0.5
        if not round(deviation, 6):
            raise DataError(f"{self.name}: every pixel of every training image is the same")
        return Preprocessing(
            channels=channels,
            height=height,
            width=width,
            mean=round(mean, 6),
            std=round(deviation, 6),
        )


def image_set(
    name: str,
    classes: tuple[str, ...],
    train: LabelledImages,
    test: LabelledImages | None,
    held_out_share: float = _HELD_OUT_SHARE,
) -> ImageSet:
    """Split off what is held out, and the test data where there is none, by a fixed shuffle.

    Each class gives the same share of its images, rounded so that the parts are as large as asked
    for, and keeps one to learn from. `held_out_share` is of the images that are not test data.
    Raises `DataError` on too few images, or where they are all of one class.
    """
    if test is None:
        train, test = _split_off(train, len(classes), _TEST_SHARE, "test")
    train, held_out = _split_off(train, len(classes), held_out_share, "held-out")
    for part, images in (("training", train), ("held-out", held_out), ("test", test)):
        if not len(images):
            raise DataError(f"{name}: too few images, none is left for the {part} data")
    found = ImageSet(name, classes, train, held_out, test)
    present = [one for one, count in found.class_counts().items() if count]
    if len(present) < 2:
        raise DataError(
            f"{name}: every training image is of the class {present[0]!r}; a task tells two or "
            "more classes apart"
        )
    return found


def _split_off(
    images: LabelledImages, classes: int, share: float, purpose: str
) -> tuple[LabelledImages, LabelledImages]:
    order = torch.from_numpy(random_permutation(0, f"split/{purpose}", len(images)))
    counts = torch.bincount(images.labels, minlength=classes)
    taken = _stratified(counts.tolist(), share)
    labels = images.labels[order]
    rank = torch.empty_like(labels)
    for label in range(len(counts)):
        own = labels == label
        rank[own] = torch.arange(int(counts[label]))
    chosen = rank < torch.tensor(taken)[labels]
    return images.rows(order[~chosen]), images.rows(order[chosen])


def _stratified(counts: list[int], share: float) -> list[int]:
    # Whole images first, then one more for the classes that lost most by rounding down.
    wanted = [share * count for count in counts]
    taken = [int(count) for count in wanted]
    by_loss = sorted(range(len(counts)), key=lambda label: (taken[label] - wanted[label], label))
    for label in by_loss[: round(share * sum(counts)) - sum(taken)]:
        if taken[label] + 1 < counts[label]:
            taken[label] += 1
    return taken
