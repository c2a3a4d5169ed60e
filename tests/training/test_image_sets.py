"""The three parts of a data set, whatever its classes are like."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.console import described_counts
from training.errors import DataError
from training.image_sets import ImageSet, LabelledImages, image_set


def labelled(counts: list[int]) -> LabelledImages:
    """So many images of each class, no two alike."""
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    numbers = torch.arange(len(labels))
    return LabelledImages(
        torch.stack([numbers // 256, numbers % 256], 1).byte()[:, None, None], labels
    )


def made(counts: list[int]) -> ImageSet:
    return image_set("made", tuple(str(k) for k in range(len(counts))), labelled(counts), None)


def counts_of(part: LabelledImages, classes: int) -> list[int]:
    counts: list[int] = torch.bincount(part.labels, minlength=classes).tolist()
    return counts


def test_each_class_gives_the_same_share_to_every_part() -> None:
    parts = made([1000, 100, 50])
    assert counts_of(parts.test, 3) == [200, 20, 10]
    assert counts_of(parts.held_out, 3) == [80, 8, 4]
    assert parts.class_counts() == {"0": 720, "1": 72, "2": 36}


@given(st.lists(st.integers(1, 60), min_size=2, max_size=6))
def test_no_image_is_lost_or_shared_and_each_class_has_one_to_learn_from(counts: list[int]) -> None:
    try:
        parts = made(counts)
    except DataError:
        assert sum(counts) < 15
        return
    together = torch.cat([part.images for part in (parts.train, parts.held_out, parts.test)])
    assert len({image.numpy().tobytes() for image in together}) == len(together) == sum(counts)
    assert min(parts.class_counts().values()) >= 1
    assert abs(len(parts.test) - 0.2 * sum(counts)) <= len(counts)


def test_one_image_of_a_class_is_learned_from() -> None:
    parts = made([30, 1])
    assert parts.class_counts()["1"] == 1
    assert not counts_of(parts.test, 2)[1]


def test_images_of_one_class_alone_are_refused() -> None:
    with pytest.raises(DataError, match="every training image is of the class '1'"):
        made([0, 40])


def test_counts_of_few_classes_are_all_told_and_of_many_the_extremes() -> None:
    assert described_counts({"cat": 3, "dog": 1}) == "4 training images of 2 classes: cat 3, dog 1"
    many = {f"c{k}": k + 5 for k in range(20)}
    assert described_counts(many) == "290 training images of 20 classes: from 5 (c0) to 24 (c19)"
