"""Residual backbones (1512.03385). Convolutions without biases, BatchNorm without gamma and beta.

What normalisation needs besides the batch, a mean and a variance a channel, belongs to the task:
see `task_statistics`.
"""

import torch
from torch import Tensor, nn


def _normalisation(channels: int) -> nn.BatchNorm2d:
    # Momentum 1: in training mode the buffers take the batch's own statistics, unmixed, and
    # whoever gathers them decides how they are pooled.
    return nn.BatchNorm2d(channels, affine=False, momentum=1.0)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


class Block(nn.Module):
    """A pair of 3x3 convolutions, or a 1x1, 3x3, 1x1 bottleneck, around which the input is added.

    A bottleneck strides in its 3x3 convolution, as torchvision's does, not in its first.
    """

    def __init__(self, inputs: int, width: int, outputs: int, stride: int) -> None:
        super().__init__()
        bottleneck = outputs != width
        first, stride1 = (1, 1) if bottleneck else (3, stride)
        self.conv1 = _convolution(inputs, width, first, stride1)
        self.norm1 = _normalisation(width)
        self.conv2 = _convolution(width, width, 3, stride if bottleneck else 1)
        self.norm2 = _normalisation(width)
        self.conv3 = _convolution(width, outputs, 1) if bottleneck else None
        self.norm3 = _normalisation(outputs) if bottleneck else None
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else _convolution(inputs, outputs, 1, stride)
        self.shortcut_norm = None if same else _normalisation(outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.norm1(self.conv1(inputs))
        hidden = self.norm2(self.conv2(torch.relu(hidden)))
        if self.conv3 is not None and self.norm3 is not None:
            hidden = self.norm3(self.conv3(torch.relu(hidden)))
        if self.shortcut is not None and self.shortcut_norm is not None:
            inputs = self.shortcut_norm(self.shortcut(inputs))
        return torch.relu(hidden + inputs)  # [B, outputs, H / stride, W / stride]


class Residual(nn.Module):
    """Stem, four stages of blocks that each halve the image but the first, mean, classifier.

    `widths[i]` and `blocks[i]` are of stage i; a block puts out `expansion` times its width. The
    stem is one 3x3 convolution, or where `large_images` ImageNet's 7x7 and pooling, which leave a
    quarter of each side. Raises `ValueError` where a row is not `(channels, height, width)`.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        outputs: int,
        widths: tuple[int, ...],
        blocks: tuple[int, ...],
        expansion: int = 1,
        large_images: bool = True,
    ) -> None:
        super().__init__()
        if len(input_shape) != 3:
            raise ValueError(f"expected inputs (channels, height, width), got {input_shape}")
        kernel, stride = (7, 2) if large_images else (3, 1)
        self.stem = _convolution(input_shape[0], widths[0], kernel, stride)
        self.stem_norm = _normalisation(widths[0])
        self.stem_pool = nn.MaxPool2d(3, 2, padding=1) if large_images else nn.Identity()
        stages, channels = [], widths[0]
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            made = []
            for index in range(count):
                halved = stage > 0 and index == 0
                made.append(Block(channels, width, width * expansion, 2 if halved else 1))
                channels = width * expansion
            stages.append(nn.Sequential(*made))
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(channels, outputs, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.relu(self.stem_norm(self.stem(inputs)))  # [B, widths[0], H, W]
        hidden = self.stages(self.stem_pool(hidden))  # [B, d, H / 8, W / 8]
        logits: Tensor = self.classifier(hidden.mean(dim=(2, 3)))  # [B, outputs]
        return logits
