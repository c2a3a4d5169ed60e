"""What every peer computes: a task's weights on demand, its rows, and 64 composed tasks kept.

In plain numpy, which at these sizes was as fast as torch at composing and faster at a row, so that
no peer is held back by what it computes with. Knows no server and needs nothing of this project.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Weights = list[Floats]
"""Of the three layers."""

KEPT = 64
"""Composed tasks; the one that was asked for longest ago makes room."""
ROW_LENGTH = 784
NAME_LENGTH = 16
"""Bytes of a task's name, padded with blanks, where it travels before its row in one body."""
NETWORK, COEFFICIENTS = "network.npz", "coefficients.npy"
FOLDER = "PEERS_FOLDER"
"""The environment variable that names the folder of both files."""

_WORKS_IN = (300, 784), (100, 300), (10, 100)


class ManyTasks:
    """Tasks over one frozen LeNet-300-100, from the folder that the benchmark wrote."""

    def __init__(self) -> None:
        folder = Path(os.environ[FOLDER])
        with np.load(folder / NETWORK) as stored:  # noqa: TID251 what the benchmark itself wrote
            layers = [(stored[f"weights{layer}"], stored[f"bank{layer}"]) for layer in range(3)]
            self._mean, self._deviation = stored["mean_and_deviation"]
        self._coefficients = np.load(folder / COEFFICIENTS, mmap_mode="r").view(np.ndarray)  # noqa: TID251 as above
        self._composers = [_composer(weights, bank) for weights, bank in layers]
        self._kept: OrderedDict[str, Weights] = OrderedDict()

    def probabilities(self, task: str, rows: Floats) -> Floats:
        """Of rows `[B, 784]`, `[B, 10]`. Raises `IndexError` on a task that there is not."""
        return self.probabilities_on(self._composed(task), rows)

    def probabilities_on(self, weights: Weights, rows: Floats) -> Floats:
        """The same on weights that somebody else keeps."""
        first, second, classifier = weights
        hidden = (rows - self._mean) / self._deviation
        hidden = np.maximum(hidden @ first.T, 0)
        hidden = np.maximum(hidden @ second.T, 0)
        logits = hidden @ classifier.T
        scaled = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: Floats = scaled / scaled.sum(axis=1, keepdims=True)
        return shares

    def answer(self, task: str, body: bytes) -> bytes:
        """The same from bytes to bytes, for one row of little-endian float32."""
        return self.probabilities(task, one_row(body)).tobytes()

    def answers(self, bodies: Sequence[bytes]) -> list[bytes]:
        """Of a batch of names and rows in one body each, each task's rows computed together."""
        by_task: dict[bytes, list[int]] = {}
        for index, body in enumerate(bodies):
            by_task.setdefault(bytes(body[:NAME_LENGTH]), []).append(index)
        found = [b""] * len(bodies)
        for name, indices in by_task.items():
            row_bytes = b"".join(bodies[index][NAME_LENGTH:] for index in indices)
            rows = np.frombuffer(row_bytes, "<f4").reshape(-1, ROW_LENGTH)
            shares = self.probabilities(name.decode(), rows)
            for index, share in zip(indices, shares, strict=True):
                found[index] = share.tobytes()
        return found

    def compose(self, task: str) -> Weights:
        """A task's weights `W * sum_k alpha_k M_k` of each layer, in its shape."""
        coefficients = self._coefficients[number_of(task)].astype(np.float32)  # [L, K]
        return [
            composed(own).reshape(shape)
            for composed, own, shape in zip(self._composers, coefficients, _WORKS_IN, strict=True)
        ]

    def _composed(self, task: str) -> Weights:
        weights = self._kept.get(task)
        if weights is None:
            weights = self._kept[task] = self.compose(task)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(task)
        return weights


def one_row(body: bytes) -> Floats:
    """Of raw little-endian float32, `[1, 784]`."""
    return np.frombuffer(body, "<f4").reshape(1, ROW_LENGTH)


def number_of(task: str) -> int:
    """Of `task-000007`, 7."""
    return int(task.rpartition("-")[2])


def _composer(weights: Floats, bank: NDArray[np.generic]) -> Callable[[Floats], Floats]:
    """From one layer's coefficients `[K]` to its weights `[P]`, flat.

    Masks that overlap, `[K, P]`, are multiplied by the weights beforehand, which saves a pass; of a
    partition the bank is the group of each weight, `[P]`.
    """
    if bank.ndim == 1:
        groups = bank.astype(np.intp)
        return lambda own: weights * own.take(groups)
    masked = bank.astype(np.float32) * weights
    return lambda own: own @ masked
