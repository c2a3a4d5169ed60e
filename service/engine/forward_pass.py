"""How a batch is computed: the rows of one task share a pass through the backbone."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Generic

import numpy as np
import torch
from torch import Tensor

from masked_network.backbones import forward
from model_store.network import FrozenNetwork
from service.engine.entries import Answer, Entry, Payload, Rows
from service.engine.isolation import isolated


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
        inputs = self._preprocessing.to_inputs(torch.from_numpy(intensities).to(self._device))
        logits: Rows = forward(self._backbone, weights, inputs).cpu().numpy()
        return logits


class GroupedForward(Generic[Payload]):
    """A batch of several tasks: one forward for each, over all of its rows."""

    def __init__(self, forward: Callable[[Payload, Rows], Rows]) -> None:
        self._forward = forward

    def __call__(self, entries: Sequence[Entry[Payload]]) -> list[Answer]:
        """An answer an entry, in their order; an entry that fails does so alone."""
        groups: dict[str, list[int]] = {}
        for index, entry in enumerate(entries):
            groups.setdefault(entry.key, []).append(index)
        answers: dict[int, Answer] = {}
        for indices in groups.values():
            group = [entries[index] for index in indices]
            answers |= zip(indices, isolated(self._one_task, group), strict=True)
        return [answers[index] for index in range(len(entries))]

    def _one_task(self, group: Sequence[Entry[Payload]]) -> list[Rows]:
        if len(group) == 1:
            return [self._forward(group[0].payload, group[0].rows)]
        rows = np.concatenate([entry.rows for entry in group])
        ends = np.cumsum([len(entry.rows) for entry in group])
        return np.split(self._forward(group[0].payload, rows), ends[:-1])
