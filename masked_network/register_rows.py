"""A fully connected network laid out for `registers.cpp`, which computes few rows of any tasks."""

import ctypes
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from masked_network.compiled import Kernels, Numbers
from masked_network.mask_bank import MaskBank
from masked_network.signed_codes import SUMMED_MASKS, SignedLayer
from masked_network.structures import Kept, RowLayer, RowRoom

MOST_ROWS = 8
"""So many, one after another, are done sooner than as many side by side, making a batch included,
where masks overlap or tables have no more than 16 numbers; where they have more, six are."""

_SOONER_BY_LANES = 7
_TILE = 64
_LOW_BITS = 8
_MOST_CODES = 1 << 12


class RegisterRows:
    """Linear layers, one after another with a ReLU between each two; for one thread at a time.

    A bank's origin is added to all tables. A row's logits are to the bit those of `lanes.cpp` at
    its widest. Raises `ValueError` where the machine cannot, a layer has more than 4,096 codes, or
    one of masks that overlap is cut into channel groups.
    """

    def __init__(self, layers: Sequence[SignedLayer], kernels: Kernels, bank: MaskBank) -> None:
        most = max(layer.entries for layer in layers)
        if not kernels.permutes_bytes or most > _MOST_CODES:
            raise ValueError(f"expected registers for at most {_MOST_CODES} codes, got {most}")
        overlapping = 0 if bank.disjoint else bank.size
        if overlapping and any(len(layer.segments) > 1 for layer in layers):
            raise ValueError("expected masks that overlap in whole layers, got channel groups")
        self.most_rows = MOST_ROWS if overlapping else _SOONER_BY_LANES - 1
        """So many are done sooner than by `LaneRows`."""
        self._kernels = kernels
        self._name, (_, self._row_length) = layers[0].name, layers[0].shape
        self._tables = len(bank.codes), bank.size
        self._laid_out = [
            (_summed(layer, overlapping), None) if overlapping else _tiled(layer)
            for layer in layers
        ]
        origin = bank.origin
        self._origins = [None if origin is None else _origin(layer, origin) for layer in layers]
        self._layers = (RowLayer * len(layers))(
            *(
                RowLayer(
                    codes=codes.data_ptr(),
                    masks=None if masks is None else masks.data_ptr(),
                    origin=None if own is None else own.data_ptr(),
                    outputs=layer.shape[0],
                    terms=layer.shape[1],
                    entries=layer.entries,
                    high_bits=_high_bits(layer),
                    overlapping=overlapping,
                    segment=layer.segments.start,
                    constant=layer.magnitude,
                )
                for layer, (codes, masks), own in zip(
                    layers, self._laid_out, self._origins, strict=True
                )
            )
        )
        self.inputs = np.zeros((MOST_ROWS, self._row_length), np.float32)
        """Where `of_kept` reads its rows."""
        self._outputs = np.empty((MOST_ROWS, layers[-1].shape[0]), np.float32)
        self._coefficients = np.empty(self._tables, np.float32)
        self._scratch = torch.empty(2, max(layer.shape[0] for layer in layers))
        self._room = RowRoom(
            inputs=self.inputs.ctypes.data,
            outputs=self._outputs.ctypes.data,
            coefficients=self._coefficients.ctypes.data,
            scratch=self._scratch.data_ptr(),
            segment_stride=bank.size,
            widest=self._scratch.shape[1],
        )
        self._values, self._scales = (
            (ctypes.c_void_p * MOST_ROWS)(),
            (ctypes.c_void_p * MOST_ROWS)(),
        )

    def __call__(
        self, coefficients: Numbers, task_of_row: NDArray[np.int64], inputs: Numbers
    ) -> Numbers | None:
        """Logits `[B, outputs]` by coefficients `[T, L, K]`; None where these do not fit registers.

        Those do not that say more than 16 numbers of more than 256 codes, the origin not counted.
        Raises `ValueError` on rows or coefficients of other sizes.
        """
        if inputs.shape[1:] != (self._row_length,):
            expected = f"expected rows of {self._row_length} channels"
            raise ValueError(f"{self._name}: {expected}, got {inputs.shape[1:]}")
        if coefficients.shape[1:] != self._tables:
            expected = f"expected coefficients {self._tables}"
            raise ValueError(f"{expected}, got {coefficients.shape[1:]}")
        coefficients, inputs = np.ascontiguousarray(coefficients), np.ascontiguousarray(inputs)
        outputs = np.empty((len(inputs), self._outputs.shape[1]), np.float32)
        done = self._kernels.few_rows(
            self._layers, coefficients, task_of_row, inputs, outputs, self._scratch
        )
        return outputs if done else None

    def of_kept(
        self, kept: Kept, values: Sequence[int], scales: Sequence[int] | None
    ) -> Numbers | None:
        """Logits of as many of `inputs` as there are values; None as `__call__`.

        Of each row's task the address of what it keeps, as `kept` says, and of its scales where
        there are some; rows of one task come one after another. None, too, where a task has bits
        beyond its last coefficient. Raises `ValueError` on more rows than `MOST_ROWS`, or where
        that is not of these layers.
        """
        rows = len(values)
        if rows > MOST_ROWS or kept.entries != self._coefficients.size:
            expected = f"at most {MOST_ROWS} rows of {self._coefficients.size} coefficients"
            raise ValueError(f"expected {expected}, got {rows} of {kept.entries}")
        for row, address in enumerate(values):
            self._values[row] = address
        for row, address in enumerate(scales or ()):
            self._scales[row] = address
        done = self._kernels.kept_rows(
            self._layers, kept, self._values, self._scales, rows, self._room
        )
        return self._outputs[:rows].copy() if done else None


def _high_bits(layer: SignedLayer) -> int:
    return max(0, (layer.entries - 1).bit_length() - _LOW_BITS)


def _tiled(layer: SignedLayer) -> tuple[Tensor, Tensor]:
    """Lower bits of the codes, uint8 `[tiles, terms, 64]`, and the masks that `RowLayer` has."""
    outputs, terms = layer.shape
    bits = [
        layer.negative,
        *(layer.codes[0] >> _LOW_BITS + bit & 1 for bit in range(_high_bits(layer))),
    ]
    masks = torch.stack([_tiles(bit.view(outputs, terms)) for bit in bits], dim=2)
    packed = np.packbits(masks.numpy().astype(np.bool_), axis=-1, bitorder="little")
    codes = _tiles(layer.codes[0].view(outputs, terms)) & (1 << _LOW_BITS) - 1
    return codes.to(torch.uint8), torch.from_numpy(packed)  # [tiles, terms, 1 + high bits, 8]


def _summed(layer: SignedLayer, overlapping: int) -> Tensor:
    """Codes and signs as `MaskSums` has them, uint8 `[tiles, terms, tables, 64]`."""
    joined = _tiles(layer.codes[0].view(layer.shape))
    shifts = range(0, overlapping, SUMMED_MASKS)
    codes = torch.stack([joined >> shift & (1 << SUMMED_MASKS) - 1 for shift in shifts], dim=2)
    signs = _tiles(layer.negative.view(layer.shape).to(torch.int32))
    by_four = signs.view(*signs.shape[:2], -1, 4).roll(-1, dims=3).view_as(signs)
    codes[:, :, 0] |= by_four << 7
    return codes.to(torch.uint8).contiguous()


def _origin(layer: SignedLayer, origin: Tensor) -> Tensor:
    """The layer's own as `RowLayer` has it."""
    own = layer.table(origin).contiguous()
    if not _high_bits(layer):
        return own
    of_weights = torch.where(layer.negative, -own[layer.codes[0]], own[layer.codes[0]])
    tiles = _tiles(of_weights.view(layer.shape))
    return tiles.view(*tiles.shape[:2], -1, 4).transpose(2, 3).contiguous()


def _tiles(values: Tensor) -> Tensor:
    """`[outputs, terms]` to `[tiles, terms, 64]`, what is missing zero."""
    outputs, terms = values.shape
    whole = pad(values, (0, 0, 0, -outputs % _TILE))
    return whole.view(-1, _TILE, terms).transpose(1, 2).contiguous()
