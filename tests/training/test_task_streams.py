"""Many tasks from one data set."""

import pytest
import torch

from training.errors import StreamError
from training.image_sets import ImageSet, LabelledImages
from training.task_streams import TaskStream, stream_task

CLASSES = ("ant", "bee", "cat", "dog", "eel")


def images(count: int, channels: int = 1, height: int = 5, width: int = 5) -> LabelledImages:
    generator = torch.Generator().manual_seed(count)
    shape = (count, channels, height, width)
    pixels = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    return LabelledImages(pixels, torch.arange(count) % len(CLASSES))


@pytest.fixture
def animals() -> ImageSet:
    return ImageSet("animals", CLASSES, images(40), images(10), images(20))


def test_a_permuted_task_holds_the_same_pixels_in_another_order(animals: ImageSet) -> None:
    stream = TaskStream("permuted")
    first, second = stream.task(animals, 0), stream.task(animals, 1)
    for task in (first, second):
        assert not torch.equal(task.train.images, animals.train.images)
        assert torch.equal(
            task.train.images.flatten(1).sort().values,
            animals.train.images.flatten(1).sort().values,
        )
        assert torch.equal(task.train.labels, animals.train.labels)
    assert not torch.equal(first.train.images, second.train.images)
    assert first.name == "permuted-0"


def test_a_permutation_is_the_same_for_every_part_and_depends_on_the_seed(
    animals: ImageSet,
) -> None:
    position = torch.arange(25, dtype=torch.uint8).view(1, 1, 5, 5)
    part = LabelledImages(position, torch.zeros(1, dtype=torch.int64))
    placed = ImageSet("places", CLASSES, part, part, part)
    task = TaskStream("permuted", seed=3).task(placed, 7)
    assert torch.equal(task.train.images, task.test.images)
    assert torch.equal(task.train.images, task.held_out.images)
    again = TaskStream("permuted", seed=3).task(placed, 7)
    assert torch.equal(task.train.images, again.train.images)
    other = TaskStream("permuted", seed=4).task(placed, 7)
    assert not torch.equal(task.train.images, other.train.images)


def test_colours_of_a_pixel_stay_together_when_permuted() -> None:
    grey = images(4).images.expand(-1, 3, -1, -1)
    part = LabelledImages(grey, torch.arange(4))
    task = TaskStream("permuted").task(ImageSet("grey", CLASSES, part, part, part), 1)
    assert torch.equal(task.train.images[:, 0], task.train.images[:, 2])


def test_a_quarter_turn_is_exact_and_turns_against_the_clock(animals: ImageSet) -> None:
    turned = TaskStream("rotated", degrees=90).task(animals, 1)
    assert torch.equal(turned.train.images, animals.train.images.rot90(1, dims=(2, 3)))


def test_the_first_rotated_task_and_a_whole_turn_are_the_data_as_it_is(animals: ImageSet) -> None:
    stream = TaskStream("rotated", degrees=60)
    for index in (0, 6):
        assert torch.equal(stream.task(animals, index).test.images, animals.test.images)


def test_a_small_turn_of_a_wide_image_keeps_its_middle() -> None:
    wide = torch.zeros(1, 1, 3, 9, dtype=torch.uint8)
    wide[0, 0, 1, 4] = 200
    part = LabelledImages(wide, torch.zeros(1, dtype=torch.int64))
    turned = TaskStream("rotated", degrees=90).part(
        ImageSet("wide", CLASSES, part, part, part), part, 1
    )
    assert turned.images[0, 0, 1, 4] == 200


def test_split_tasks_are_disjoint_and_number_their_labels_from_zero(animals: ImageSet) -> None:
    stream = TaskStream("split", classes_per_task=2)
    assert stream.length(animals) == 2
    first, second = stream.task(animals, 0), stream.task(animals, 1)
    assert first.classes == ("ant", "bee")
    assert second.classes == ("cat", "dog")
    assert sorted(set(second.train.labels.tolist())) == [0, 1]
    assert len(first.train) + len(second.train) == 32
    assert len(second.train) == stream.training_images(animals, 1)
    is_cat = animals.test.labels == 2
    assert torch.equal(second.test.images[second.test.labels == 0], animals.test.images[is_cat])


@pytest.mark.parametrize(
    ("stream", "index"),
    [
        (TaskStream("split", classes_per_task=2), 2),
        (TaskStream("split", classes_per_task=6), 0),
        (TaskStream("plain"), 1),
        (TaskStream("permuted"), -1),
    ],
)
def test_a_task_that_is_not_in_the_stream_is_an_error(
    animals: ImageSet, stream: TaskStream, index: int
) -> None:
    with pytest.raises(StreamError, match=f"there is no task {index}"):
        stream.task(animals, index)


def test_a_split_task_without_images_is_an_error(animals: ImageSet) -> None:
    few = ImageSet("few", CLASSES, animals.train, animals.held_out, images(2))
    with pytest.raises(StreamError, match="no images of its classes"):
        TaskStream("split").task(few, 1)


@pytest.mark.parametrize(
    "stream",
    [
        TaskStream("permuted", seed=9),
        TaskStream("rotated", degrees=12.5),
        TaskStream("split", classes_per_task=1),
        TaskStream("plain"),
    ],
    ids=lambda stream: stream.kind,
)
def test_provenance_finds_the_same_task_again(animals: ImageSet, stream: TaskStream) -> None:
    index = 0 if stream.kind == "plain" else 3
    found, found_index = stream_task(stream.provenance(index))
    assert found_index == index
    assert torch.equal(
        found.task(animals, index).test.images, stream.task(animals, index).test.images
    )
    assert found.provenance(index) == stream.provenance(index)


@pytest.mark.parametrize(
    "provenance", [{}, {"stream": "shuffled", "index": 1}, {"stream": "plain"}]
)
def test_provenance_of_no_stream_is_an_error(provenance: dict[str, str | int | float]) -> None:
    with pytest.raises(StreamError, match="names no task of a stream"):
        stream_task(provenance)
