"""Fully connected backbones. Without biases, as every weight is masked and nothing else learned."""

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class FullyConnected(nn.Module):
    """Two hidden layers and the classifier, on images laid out flat.

    300 and 100 units are LeNet-300-100, 1024 and 1024 FC-1024-1024 (SupSup 2006.14769, section 4).
    """

    def __init__(self, input_shape: tuple[int, ...], outputs: int, hidden: tuple[int, int]) -> None:
        super().__init__()
        widths = pairwise((math.prod(input_shape), *hidden, outputs))
        layers = [nn.Linear(width, next_width, bias=False) for width, next_width in widths]
        self.hidden1, self.hidden2, self.classifier = layers

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = inputs.flatten(start_dim=1)  # [B, d_in]
        hidden = torch.relu(self.hidden1(hidden))  # [B, hidden[0]]
        hidden = torch.relu(self.hidden2(hidden))  # [B, hidden[1]]
        logits: Tensor = self.classifier(hidden)  # [B, outputs]
        return logits

    @staticmethod
    def under(weights: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """What `forward` gives with these weights in place, the same to the bit.

        Putting them there takes longer than computing one row.
        """
        hidden = inputs.flatten(start_dim=1)
        hidden = torch.relu(linear(hidden, weights["hidden1.weight"]))
        hidden = torch.relu(linear(hidden, weights["hidden2.weight"]))
        return linear(hidden, weights["classifier.weight"])
