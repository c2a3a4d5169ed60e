"""Composed weights as bytes and back.

What comes back is believed only if it has the digest it was written with, and the network's shapes
and types.
"""

import hashlib
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Literal

import safetensors.torch
import torch
from torch import Tensor

from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskTensors
from model_store.tensor_bytes import read_tensors

Precision = Literal["fp32", "fp16", "bf16"]

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_DIGEST_BYTES = 32


class WeightsCodec:
    """For the tasks of one network. Weights are rounded to the precision, statistics never."""

    def __init__(self, network: FrozenNetwork, precision: Precision) -> None:
        self._device = network.device
        self._expected = {
            name: (shape, _DTYPES[precision] if name in network.weights else torch.float32)
            for name, shape in network.composed_shapes.items()
        }

    def encode(self, composed: Mapping[str, Tensor]) -> bytes:
        """The digest, then the tensors."""
        body = safetensors.torch.save(
            {name: _narrowed(weight, self._dtype(name)).cpu() for name, weight in composed.items()}
        )
        return hashlib.sha256(body).digest() + body

    def decode(self, payload: bytes) -> dict[str, Tensor] | None:
        """The weights, fp32; None where the bytes are damaged or another network's."""
        digest, body = payload[:_DIGEST_BYTES], payload[_DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            return None
        try:
            composed = read_tensors(body)
        except ValueError:
            return None
        found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in composed.items()}
        if found != self._expected:
            return None
        return {name: composed[name].to(self._device).float() for name in self._expected}

    def timed_decode(self, payload: bytes) -> tuple[dict[str, Tensor] | None, float]:
        """The same, and the seconds it took."""
        started = perf_counter()
        return self.decode(payload), perf_counter() - started

    def made_up(self) -> bytes:
        """As many bytes as any task's, of nothing."""
        shapes = {name: shape for name, (shape, _) in self._expected.items()}
        return self.encode({name: torch.zeros(shape) for name, shape in shapes.items()})

    def round_in_place(self, composed: Mapping[str, Tensor]) -> None:
        """Make of weights what would come back, to the bit."""
        for name, weight in composed.items():
            if (dtype := self._dtype(name)) is not torch.float32:
                weight.copy_(_narrowed(weight, dtype))

    def _dtype(self, name: str) -> torch.dtype:
        # What is not the network's is written as it is, and refused when it is read.
        return self._expected[name][1] if name in self._expected else torch.float32


def composition(
    network: FrozenNetwork, precision: Precision
) -> Callable[[TaskTensors], dict[str, Tensor]]:
    """A task's composed weights, to the bit as they come back of that precision; for any thread.

    They are there when it returns, on a GPU too: what composing takes is measured by its callers.
    """
    on_gpu = network.device.type == "cuda"
    if precision == "fp32" and not on_gpu:
        return network.composed
    codec = WeightsCodec(network, precision)

    def rounded(artifact: TaskTensors) -> dict[str, Tensor]:
        composed = network.composed(artifact)
        codec.round_in_place(composed)
        if on_gpu:
            torch.cuda.synchronize(network.device)
        return composed

    return rounded


def _narrowed(weight: Tensor, dtype: torch.dtype) -> Tensor:
    if weight.dtype is dtype:
        return weight
    largest = torch.finfo(dtype).max
    return weight.to(dtype).clamp_(-largest, largest)
