"""The evidence that a task brings with it, as one optional tensor of its artifact.

Any bytes of the right length are some evidence: nothing in it can be infinite or no number.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masked_network.input_gaussians import MOST_DIRECTIONS, InputGaussians
from masked_network.task_evidence import TaskEvidence
from model_store.packing import pack_levels, unpack_levels

EVIDENCE = "evidence"

_LOWEST, _STEP = -6.0, 12 / 255  # of logarithms
_PRECISION_STEP = 6 / 255  # likewise; a precision is 1 or more
_MEAN_STEP = 1 / 16  # of deviations
_MIDDLE = 8  # of the sixteen levels of a regression
_OWN_BYTES = 6


def evidence_bytes(length: int) -> int:
    """Of a store whose inputs have so many numbers."""
    count = min(MOST_DIRECTIONS, length)
    return 3 * count + 1 + -(-count * (count - 1) // 4) + _OWN_BYTES


def packed_evidence(evidence: TaskEvidence) -> dict[str, Tensor]:
    """The tensor, uint8 `[bytes]`, of one task's evidence.

    A byte each for the deviations (in logarithms), the means (in sixteenths of a deviation) and the
    precisions (in logarithms), one for the step of the regressions, four bits for each of these,
    and six bytes for how the task's own rows are.
    """
    gaussian = evidence.gaussians
    count = gaussian.means.shape[1]
    deviations = _levels((gaussian.deviations[0].log() - _LOWEST) / _STEP, 0, 255)
    exact = (deviations * _STEP + _LOWEST).exp()
    means = _levels(gaussian.means[0] / exact / _MEAN_STEP, -127, 127) + 128
    precisions = _levels(gaussian.precisions[0].log() / _PRECISION_STEP, 0, 255)
    below = torch.tril_indices(count, count, -1)
    regressions = gaussian.regressions[0][below[0], below[1]]
    largest = regressions.abs().max() if len(regressions) else torch.tensor(1.0)
    step = _levels(((largest / (_MIDDLE - 1)).log() - _LOWEST) / _STEP, 0, 255).view(1)
    levels = _levels(regressions / (step * _STEP + _LOWEST).exp(), 1 - _MIDDLE, _MIDDLE - 1)
    own = np.zeros((), _OWN)
    own["likelihood_mean"] = np.clip(round(64 * float(evidence.likelihood_mean)), -32768, 32767)
    own["likelihood_deviation"] = np.clip(
        round(256 * float(evidence.likelihood_deviation)), 1, 65535
    )
    own["entropy_mean"] = np.clip(round(255 * float(evidence.entropy_mean)), 0, 255)
    own["entropy_deviation"] = np.clip(round(255 * float(evidence.entropy_deviation)), 1, 255)
    parts = [
        *(part.to(torch.uint8) for part in (deviations, means, precisions, step)),
        pack_levels((levels + _MIDDLE).to(torch.uint8), 4),
        torch.frombuffer(bytearray(own.tobytes()), dtype=torch.uint8),
    ]
    return {EVIDENCE: torch.cat(parts)}


_OWN = np.dtype(
    [
        ("likelihood_mean", "<i2"),
        ("likelihood_deviation", "<u2"),
        ("entropy_mean", "u1"),
        ("entropy_deviation", "u1"),
    ]
)


def evidence_of(packed: Tensor, length: int) -> TaskEvidence:
    """Evidence of tasks from their tensors `[T, bytes]`, for inputs of so many numbers.

    Raises `ValueError` where it has not so many bytes, or bits beyond the last regression are set.
    """
    if packed.dtype != torch.uint8 or packed.shape[1:] != (evidence_bytes(length),):
        raise ValueError(
            f"expected uint8 [T, {evidence_bytes(length)}], got {packed.dtype} {list(packed.shape)}"
        )
    count = min(MOST_DIRECTIONS, length)
    tasks, pairs = len(packed), count * (count - 1) // 2
    deviations, means, precisions, step, levels, own = packed.split(
        [count, count, count, 1, -(-pairs // 2), _OWN_BYTES], dim=1
    )
    deviation = (deviations * _STEP + _LOWEST).exp()
    exact = unpack_levels(levels.contiguous(), 4, pairs).to(torch.float32) - _MIDDLE
    below = torch.tril_indices(count, count, -1)
    regressions = torch.zeros(tasks, count, count)
    regressions[:, below[0], below[1]] = exact * (step * _STEP + _LOWEST).exp()
    gaussians = InputGaussians(
        (means.to(torch.float32) - 128) * _MEAN_STEP * deviation,
        deviation,
        (precisions * _PRECISION_STEP).exp(),
        regressions,
    )
    table = own.contiguous().numpy().view(_OWN)[:, 0]
    return TaskEvidence(
        gaussians,
        _numbers(table["likelihood_mean"], 64),
        _numbers(np.maximum(table["likelihood_deviation"], 1), 256),
        _numbers(table["entropy_mean"], 255),
        _numbers(np.maximum(table["entropy_deviation"], 1), 255),
    )


def expected_evidence(
    tensors: Mapping[str, Tensor], length: int
) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """The name, shape and type of the tensor where there is one; none without."""
    if EVIDENCE not in tensors:
        return {}
    return {EVIDENCE: ((evidence_bytes(length),), torch.uint8)}


def _levels(values: Tensor, lowest: int, highest: int) -> Tensor:
    return values.round().clamp(lowest, highest)


def _numbers(values: NDArray[np.generic], parts: int) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)) / parts
