"""What the weights of each code make of inputs: then a layer's outputs by any table are a product.

For the same rows by very many tasks, whose first layer is most of what there is to compute. This
project's own, where masks are disjoint or few; ImpressLearn 2210.01987 sums responses of masks.
"""

import torch
from torch import Tensor

from masked_network.signed_codes import SignedLayer


class BasisResponses:
    """Of one linear layer; raises `ValueError` where looking its codes up is as quick."""

    def __init__(self, layer: SignedLayer) -> None:
        outputs, terms = layer.shape
        if 2 * layer.entries > terms:
            raise ValueError(
                f"expected at most {terms // 2} codes of {terms} terms, got {layer.entries}"
            )
        self._layer = layer
        self._codes = layer.codes[0].view(outputs, terms).to(torch.int64)
        signs = torch.where(layer.negative, -layer.magnitude, layer.magnitude)
        self._weights = signs.view(outputs, terms)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Responses `[n * outputs, entries]` to inputs `[n, terms]`, of each row its outputs.

        Raises `ValueError` on rows of another length.
        """
        outputs, terms = self._codes.shape
        if inputs.shape[1:] != (terms,):
            expected = f"expected rows of {terms}"
            raise ValueError(f"{self._layer.name}: {expected}, got {tuple(inputs.shape)}")
        found = inputs.new_zeros(len(inputs), outputs, self._layer.entries)
        for row, responses in zip(inputs, found, strict=True):
            responses.scatter_add_(1, self._codes, self._weights * row)
        return found.flatten(end_dim=1)

    def under(self, tables: Tensor, responses: Tensor) -> Tensor:
        """The layer's outputs `[T * n, outputs]` by the tables `[T, L, entries]` of each task."""
        outputs, _ = self._codes.shape
        own = self._layer.table(tables)[:, : self._layer.entries]
        return (own @ responses.T).view(-1, outputs)
