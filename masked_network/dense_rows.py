"""Few rows through a fully connected network under composed weights, by `dense.cpp`.

Sooner than a library made for large products, and a row's logits do not depend, to the bit, on what
rows come with it.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from masked_network.backbones import masked_layers
from masked_network.compiled import Kernels, Numbers
from masked_network.fully_connected import FullyConnected
from masked_network.structures import DenseLayer

MOST_ROWS = 16
"""Beyond so many large products are as quick."""


class DenseRows:
    """For one backbone; for one thread at a time."""

    def __init__(self, backbone: FullyConnected, kernels: Kernels) -> None:
        layers = masked_layers(backbone)
        self._kernels = kernels
        self._shapes = {layer.name: layer.shape for layer in layers}
        self._row_length, self._outputs = layers[0].fan_in, layers[-1].shape[0]
        self._checked: Mapping[str, Tensor] = {}
        """Whose places the layers have."""
        self._scratch = torch.empty(2, MOST_ROWS, max(layer.shape[0] for layer in layers))
        self._layers = (DenseLayer * len(layers))(
            *(DenseLayer(outputs=layer.shape[0], terms=layer.fan_in) for layer in layers)
        )

    def __call__(self, weights: Mapping[str, Tensor], inputs: Numbers) -> Numbers:
        """Logits `[B, outputs]`, fp32, for inputs `[B, row_length]`, at most `MOST_ROWS`.

        Weights stay as they are while they are used: those of the last call are kept, and not
        looked at again. Raises `ValueError` on weights or rows that do not fit.
        """
        if (
            len(inputs) > MOST_ROWS
            or inputs.shape[1:] != (self._row_length,)
            or inputs.dtype != np.float32
        ):
            expected = f"at most {MOST_ROWS} rows of {self._row_length} fp32"
            raise ValueError(f"expected {expected}, got {inputs.shape} {inputs.dtype}")
        if weights is not self._checked:
            self._take_up(weights)
        outputs = np.empty((len(inputs), self._outputs), np.float32)
        inputs = np.ascontiguousarray(inputs)
        self._kernels.dense_rows(self._layers, inputs, outputs, self._scratch)
        return outputs

    def _take_up(self, weights: Mapping[str, Tensor]) -> None:
        self._checked = {}
        for layer, (name, shape) in zip(self._layers, self._shapes.items(), strict=True):
            weight = weights[name]
            if weight.shape != shape or not _is_plain(weight):
                got = f"{tuple(weight.shape)} {weight.dtype}"
                raise ValueError(f"{name}: expected contiguous fp32 {shape}, got {got}")
            layer.weights = weight.data_ptr()
        self._checked = weights


def _is_plain(tensor: Tensor) -> bool:
    return tensor.dtype is torch.float32 and tensor.is_cpu and tensor.is_contiguous()
