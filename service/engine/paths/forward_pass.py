"""One task's rows through the backbone, under weights that are composed."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from masked_network.backbones import forward
from masked_network.compiled import compiled_kernels
from masked_network.dense_rows import MOST_ROWS, DenseRows
from masked_network.fully_connected import FullyConnected
from model_store.network import FrozenNetwork
from service.engine.registry.entries import Rows


class ForwardPass:
    """Rows through the backbone under given weights; for one thread at a time."""

    def __init__(self, network: FrozenNetwork, device: torch.device) -> None:
        # functional_call is not thread-safe on a shared module, and another thread identifies.
        self._backbone = copy.deepcopy(network.backbone)
        self._preprocessing = network.manifest.preprocessing
        self._device = device
        self._few_rows = _few_rows(network, device)

    def __call__(self, weights: Mapping[str, Tensor], intensities: Rows) -> Rows:
        """Logits `[n, outputs]` for rows `[n, row_length]`."""
        inputs = self._preprocessing.rows_to_inputs(intensities)
        if self._few_rows is not None and len(intensities) <= MOST_ROWS:
            few: Rows = self._few_rows(weights, inputs).numpy()
            return few
        with torch.inference_mode():
            logits: Rows = forward(self._backbone, weights, inputs.to(self._device)).cpu().numpy()
        return logits


def _few_rows(network: FrozenNetwork, device: torch.device) -> DenseRows | None:
    kernels = compiled_kernels()
    backbone = network.backbone
    if kernels is None or device.type != "cpu" or not isinstance(backbone, FullyConnected):
        return None
    return DenseRows(backbone, kernels)
