"""Batches of a pass: every example once, moved and mirrored only where asked."""

import pytest
import torch
from torch import Tensor

from training.batches import Augmentation, Examples, batches_of_a_pass


def numbered(count: int, side: int = 16) -> Examples:
    """Images of distinct positive pixels; an image's label is its number."""
    pixels = torch.arange(1, count * 2 * side * side + 1, dtype=torch.float32)
    return Examples(pixels.view(count, 2, side, side), torch.arange(count))


def joined(train: Examples, augmentation: Augmentation, seed: int = 0) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    batches = list(batches_of_a_pass(train, 4, augmentation, generator))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    inputs = torch.cat([batch.inputs for batch in batches])
    return Examples(inputs, torch.cat([batch.labels for batch in batches]))


@pytest.mark.parametrize("augmentation", ["none", "crop-flip"])
def test_a_pass_has_every_example_once_with_its_label(augmentation: Augmentation) -> None:
    train = numbered(10)
    found = joined(train, augmentation)
    assert sorted(found.labels.tolist()) == list(range(10))
    middle = found.inputs[:, 0, 8, 8]  # no move is as far as the border
    of_image = ((middle - 1) // (2 * 16 * 16)).long()
    assert torch.equal(of_image, found.labels)


def test_images_stay_as_they_are_unless_asked() -> None:
    train = numbered(10)
    found = joined(train, "none")
    assert torch.equal(found.inputs, train.inputs[found.labels])


def _is_moved(image: Tensor, original: Tensor, margin: int) -> tuple[int, int, bool] | None:
    """By how far, and whether mirrored, so that it comes out as that."""
    padded = torch.nn.functional.pad(original, (margin,) * 4)
    side = original.shape[1]
    for down in range(2 * margin + 1):
        for across in range(2 * margin + 1):
            window = padded[:, down : down + side, across : across + side]
            if torch.equal(window, image):
                return down, across, False
            if torch.equal(window.flip(2), image):
                return down, across, True
    return None


def test_an_augmented_image_is_a_window_of_the_padded_one_mirrored_or_not() -> None:
    train = numbered(10)
    changes = set()
    for seed in range(4):
        found = joined(train, "crop-flip", seed)
        for image, label in zip(found.inputs, found.labels.tolist(), strict=True):
            change = _is_moved(image, train.inputs[label], margin=2)
            assert change is not None
            changes.add(change)
    assert {mirrored for _, _, mirrored in changes} == {False, True}
    assert {down for down, _, _ in changes} == set(range(5))
    assert {across for _, across, _ in changes} == set(range(5))


def test_a_seed_augments_alike_and_passes_differ() -> None:
    train = numbered(10)
    first, again, other = (joined(train, "crop-flip", seed) for seed in (1, 1, 2))
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, other.inputs)
