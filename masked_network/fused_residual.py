"""A residual network's steps for `residual.cpp`, which computes rows of any tasks."""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import prod

import torch
from torch import Tensor, nn

from masked_network.compiled import Kernels
from masked_network.fused_layers import FusedConvolution, fused_convolution
from masked_network.residual import Block, Residual
from masked_network.row_threads import RowThreads
from masked_network.signed_codes import SignedLayer
from masked_network.structures import AVERAGE, CONVOLVE, POOL, Convolution, OfTasks, Step
from masked_network.task_statistics import joined_statistics, statistics_layers

_INPUT, _LOGITS, _FIRST, _SECOND, _HIDDEN, _MORE, _SHORTCUT = range(7)
"""Places of a step. A block is read from the first and written to the second, or the reverse."""

_PLACES_KEPT = 5
_NONE = -1


class FusedResidual:
    """For one caller at a time. A row's logits do not depend, to the bit, on what else is asked.

    A single row takes one of the threads.
    """

    def __init__(
        self,
        backbone: Residual,
        layers: Mapping[str, SignedLayer],
        kernels: Kernels,
        threads: RowThreads,
    ) -> None:
        self._backbone, self._layers, self._kernels = backbone, layers, kernels
        self._threads = threads
        self._statistics = statistics_layers(backbone)
        self._plan: _Plan | None = None

    def __call__(
        self,
        tables: Tensor,
        statistics: Mapping[str, Tensor],
        task_of_row: Tensor,
        inputs: Tensor,
    ) -> Tensor:
        """Logits `[B, outputs]` for inputs `[B, channels, height, width]`.

        By tables `[T, L, entries]` and statistics `[T, channels]`. Raises `ValueError` on rows of
        another shape.
        """
        # A backbone's rows have one shape, so the first call's plan serves all others.
        row_shape = tuple(inputs.shape[1:])
        if self._plan is None or self._plan.row_shape != row_shape:
            made = _Steps(self._backbone, self._layers, self._kernels, row_shape)
            self._plan = made.plan(self._threads.count)
        plan, inputs = self._plan, inputs.contiguous()
        joined = joined_statistics(statistics, self._statistics)  # [T, 2, channels]
        tasks = OfTasks(
            tables=tables.data_ptr(),
            means=joined.data_ptr(),
            variances=joined[:, 1].data_ptr(),
            table_stride=tables.stride(0),
            segment_stride=tables.stride(1),
            statistics_stride=joined.stride(0),
        )
        logits = inputs.new_empty(len(inputs), plan.outputs)

        def compute(share: int, rows: slice) -> None:
            self._kernels.residual(
                *(plan.steps, tasks, task_of_row[rows], inputs[rows], logits[rows]),
                *(plan.scratch[share], plan.place_size, plan.most_outputs),
            )

        self._threads.run(compute, len(inputs))
        return logits


@dataclass(frozen=True)
class _Plan:
    """The steps for rows of one shape; `kept` is what they point to."""

    row_shape: tuple[int, ...]
    steps: "ctypes.Array[Step]"
    kept: list[FusedConvolution]
    outputs: int
    scratch: Tensor
    """`[threads, floats]`."""
    place_size: int
    most_outputs: int


class _Steps:
    """The network's, for rows of one shape."""

    def __init__(
        self,
        backbone: Residual,
        layers: Mapping[str, SignedLayer],
        kernels: Kernels,
        row_shape: tuple[int, ...],
    ) -> None:
        self._layers, self._kernels = layers, kernels
        self._names = {module: name for name, module in backbone.named_modules()}
        own = statistics_layers(backbone)
        ends = accumulate(layer.channels for layer in own)
        self._channels = {one.name: end - one.channels for one, end in zip(own, ends, strict=True)}
        self._shapes = {_INPUT: row_shape}
        self._steps: list[Step] = []
        self._kept: list[FusedConvolution] = []
        self._place_size = 0
        self._all_of(backbone)

    def plan(self, threads: int) -> _Plan:
        most = max(one.layer.outputs for one in self._kept)
        besides = max(one.scratch_size for one in self._kept)
        size = _PLACES_KEPT * self._place_size + 2 * most + besides
        return _Plan(
            self._shapes[_INPUT],
            (Step * len(self._steps))(*self._steps),
            self._kept,
            self._kept[-1].layer.outputs,
            torch.empty(threads, size),
            self._place_size,
            most,
        )

    def _all_of(self, backbone: Residual) -> None:
        self._convolve(backbone.stem, _INPUT, _FIRST, backbone.stem_norm, relu=True)
        read, written = _FIRST, _SECOND
        if isinstance(backbone.stem_pool, nn.MaxPool2d):
            self._pool(read, written)
            read, written = written, read
        for block in backbone.modules():
            if isinstance(block, Block):
                self._block(block, read, written)
                read, written = written, read
        self._average(read, written)
        self._convolve(backbone.classifier, written, _LOGITS)

    def _block(self, block: Block, read: int, written: int) -> None:
        added = read
        if block.shortcut is not None:
            added = _SHORTCUT
            self._convolve(block.shortcut, read, added, block.shortcut_norm)
        self._convolve(block.conv1, read, _HIDDEN, block.norm1, relu=True)
        if block.conv3 is None:
            self._convolve(block.conv2, _HIDDEN, written, block.norm2, added, relu=True)
            return
        self._convolve(block.conv2, _HIDDEN, _MORE, block.norm2, relu=True)
        self._convolve(block.conv3, _MORE, written, block.norm3, added, relu=True)

    def _convolve(
        self,
        layer: nn.Conv2d | nn.Linear,
        read: int,
        written: int,
        norm: nn.BatchNorm2d | None = None,
        added: int = _NONE,
        relu: bool = False,
    ) -> None:
        signed = self._layers[f"{self._names[layer]}.weight"]
        stride, padding = 1, 0
        if isinstance(layer, nn.Conv2d):
            stride, padding = layer.stride[0], int(layer.padding[0])
        made = fused_convolution(signed, self._kernels, self._shapes[read], stride, padding)
        self._kept.append(made)
        step = Step(
            layer=made.layer,
            kind=CONVOLVE,
            added=added,
            segment=signed.segments.start,
            statistics=_NONE if norm is None else self._channels[self._names[norm]],
            relu=relu,
            epsilon=0.0 if norm is None else norm.eps,
        )
        self._put(step, read, written, made.output_shape)

    def _pool(self, read: int, written: int) -> None:
        channels, *size = self._shapes[read]
        halved = ((side - 1) // 2 + 1 for side in size)
        self._put(self._by_channel(POOL, read), read, written, (channels, *halved))

    def _average(self, read: int, written: int) -> None:
        shape = (self._shapes[read][0], 1, 1)
        self._put(self._by_channel(AVERAGE, read), read, written, shape)

    def _by_channel(self, kind: int, read: int) -> Step:
        channels, height, width = self._shapes[read]
        return Step(layer=Convolution(channels=channels, height=height, width=width), kind=kind)

    def _put(self, step: Step, read: int, written: int, shape: tuple[int, ...]) -> None:
        step.from_place, step.to_place = read, written
        self._steps.append(step)
        self._shapes[written] = shape
        self._place_size = max(self._place_size, prod(shape))
