"""One task's rows through the backbone, under weights that are composed."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from masked_network.backbones import forward
from masked_network.compiled import compiled_kernels
from masked_network.dense_rows import MOST_ROWS, DenseRows
from masked_network.fully_connected import FullyConnected
from masked_network.gpu_graphs import graph_recorder
from masked_network.graphed_forward import GraphedForward
from model_store.network import FrozenNetwork
from service.engine.registry.entries import Rows


class ForwardPass:
    """Rows through the backbone under given weights; for one thread at a time.

    A GPU's launches are recorded for up to `most_rows`.
    """

    def __init__(self, network: FrozenNetwork, device: torch.device, most_rows: int = 0) -> None:
        # functional_call is not thread-safe on a shared module, and another thread identifies.
        self._backbone = copy.deepcopy(network.backbone)
        self._preprocessing = network.manifest.preprocessing
        self._device = device
        self._few_rows = _few_rows(network, device)
        self._graphed = _graphed(network, device, most_rows)

    def __call__(self, weights: Mapping[str, Tensor], intensities: Rows) -> Rows:
        """Logits `[n, outputs]` for rows `[n, row_length]`."""
        if self._graphed is not None:
            return self._graphed(weights, torch.from_numpy(intensities)).numpy()
        if self._few_rows is not None and len(intensities) <= MOST_ROWS:
            return self._few_rows(weights, self._preprocessing.normalised(intensities))
        inputs = self._preprocessing.rows_to_inputs(intensities)
        with torch.inference_mode():
            logits: Rows = forward(self._backbone, weights, inputs.to(self._device)).cpu().numpy()
        return logits


def _few_rows(network: FrozenNetwork, device: torch.device) -> DenseRows | None:
    kernels = compiled_kernels()
    backbone = network.backbone
    if kernels is None or device.type != "cpu" or not isinstance(backbone, FullyConnected):
        return None
    return DenseRows(backbone, kernels)


def _graphed(network: FrozenNetwork, device: torch.device, most_rows: int) -> GraphedForward | None:
    if device.type != "cuda" or not most_rows:
        return None
    preprocessing = network.manifest.preprocessing
    return GraphedForward(
        network.backbone,
        network.composed_shapes,
        preprocessing.to_inputs,
        preprocessing.row_length,
        most_rows,
        device,
        graph_recorder(device),
    )
