"""What a task is learned from, batch by batch: shuffled for each pass, and augmented on request."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Augmentation = Literal["none", "crop-flip"]

_MARGIN_SHARE = 8
"""Of an image's shorter side: how far a crop is moved at most, 4 pixels of 32."""


@dataclass(frozen=True)
class Examples:
    """Preprocessed inputs `[N, C, H, W]`, fp32, and labels `[N]`, int64, on one device."""

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, indices: Tensor) -> "Examples":
        """These rows, by index `[M]`."""
        indices = indices.to(self.labels.device)
        return Examples(self.inputs[indices], self.labels[indices])


def batches_of_a_pass(
    train: Examples, batch_size: int, augmentation: Augmentation, generator: torch.Generator
) -> Iterator[Examples]:
    """Every example once, in an order of this pass's own; the last batch may be smaller.

    All that a pass draws is drawn when its first batch is asked for, on the CPU, so that a seed
    draws the same for each device, and moved there at once.
    """
    device = train.labels.device
    order = torch.randperm(len(train), generator=generator).to(device)
    if augmentation == "none":
        for rows in torch.split(order, batch_size):
            yield train.rows(rows)
        return
    margin = max(1, min(train.inputs.shape[2:]) // _MARGIN_SHARE)
    moves = torch.randint(0, 2 * margin + 1, (len(train), 2), generator=generator)
    flips = torch.randint(0, 2, (len(train), 1), generator=generator)
    drawn = torch.cat([moves, flips], dim=1).to(device)  # [N, 3]
    for rows, changes in zip(
        torch.split(order, batch_size), torch.split(drawn, batch_size), strict=True
    ):
        batch = train.rows(rows)
        yield Examples(_cropped_and_flipped(batch.inputs, margin, changes), batch.labels)


def _cropped_and_flipped(inputs: Tensor, margin: int, changes: Tensor) -> Tensor:
    # Zero is the mean intensity here: preprocessing has taken that off.
    padded = torch.nn.functional.pad(inputs, (margin,) * 4)
    height, width = inputs.shape[2:]
    down, across, flip = changes.unsqueeze(2).unbind(1)  # [B, 1] each
    columns = torch.arange(width, device=inputs.device).expand(len(inputs), width)
    columns = across + torch.where(flip == 1, width - 1 - columns, columns)  # [B, W]
    rows = down + torch.arange(height, device=inputs.device)  # [B, H]
    own = torch.arange(len(inputs), device=inputs.device)
    changed = padded[own[:, None, None], :, rows[:, :, None], columns[:, None, :]]  # [B, H, W, C]
    return changed.permute(0, 3, 1, 2).contiguous()
