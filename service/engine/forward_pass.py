"""One task's rows through the backbone, under weights that are composed."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from masked_network.backbones import forward
from model_store.network import FrozenNetwork
from service.engine.entries import Rows


class ForwardPass:
    """Rows through the backbone under given weights; for one thread at a time."""

    def __init__(self, network: FrozenNetwork, device: torch.device) -> None:
        # functional_call is not thread-safe on a shared module, and another thread identifies.
        self._backbone = copy.deepcopy(network.backbone)
        self._preprocessing = network.manifest.preprocessing
        self._device = device

    @torch.inference_mode()
    def __call__(self, weights: Mapping[str, Tensor], intensities: Rows) -> Rows:
        """Logits `[n, outputs]` for rows `[n, row_length]`."""
        inputs = self._preprocessing.rows_to_inputs(intensities).to(self._device)
        logits: Rows = forward(self._backbone, weights, inputs).cpu().numpy()
        return logits
