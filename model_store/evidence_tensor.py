"""The evidence that a task brings with it, as one optional tensor of its artifact.

Any bytes of the right length are some evidence: nothing in it can be infinite or no number.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor

from masked_network.input_gaussians import InputGaussians, direction_count
from masked_network.task_evidence import OwnMoments, TaskEvidence
from model_store.packing import pack_levels, unpack_levels

EVIDENCE = "evidence"

_LOWEST, _STEP = -6.0, 12 / 255  # of logarithms
_LOWEST_PRECISION = -1.0  # likewise
_MEAN_STEP = 1 / 16  # of deviations
_MIDDLE = 8  # of the sixteen levels of a regression

_OWN = np.dtype(
    [
        ("likelihood_mean", "<i2"),
        ("likelihood_deviation", "<u2"),
        ("entropy_mean", "u1"),
        ("entropy_deviation", "u1"),
    ]
)
_OWN_RANGES = {
    "likelihood_mean": (64, -32768, 32767),
    "likelihood_deviation": (256, 1, 65535),
    "entropy_mean": (255, 0, 255),
    "entropy_deviation": (255, 1, 255),
}
"""In how many parts of one each is kept, and from which least to which most."""

_OWN_PARTS, _OWN_LEAST, _ = np.array([*_OWN_RANGES.values()], np.float32).T[:, :, np.newaxis]


def evidence_bytes(length: int) -> int:
    """Of a store whose inputs have so many numbers."""
    return sum(_parts(direction_count(length)))


def _parts(count: int) -> list[int]:
    return [count, count, count, 1, -(-count * (count - 1) // 4), _OWN.itemsize]


def packed_evidence(evidence: TaskEvidence) -> dict[str, Tensor]:
    """The tensor, uint8 `[bytes]`, of one task's evidence, whose Gaussian is as `kept` makes it.

    A byte each for the deviations (in logarithms), the means (in sixteenths of a deviation) and the
    precisions (in logarithms), one for the step of the regressions, four bits for each of these,
    and six bytes for how the task's own rows are.
    """
    own = np.zeros((), _OWN)
    for name, (parts, least, most) in _OWN_RANGES.items():
        own[name] = np.clip(round(parts * float(getattr(evidence.own, name))), least, most)
    gaussian = _packed_gaussian(evidence.gaussians)
    return {EVIDENCE: torch.cat([gaussian, torch.from_numpy(own.reshape(1).view(np.uint8))])}


def kept(gaussian: InputGaussians) -> InputGaussians:
    """One task's Gaussian as the tensor keeps it."""
    return _gaussians(_packed_gaussian(gaussian).unsqueeze(0), gaussian.means.shape[1])


def evidence_of(packed: Tensor, length: int) -> TaskEvidence:
    """Evidence of tasks from their tensors `[T, bytes]`, for inputs of so many numbers.

    Raises `ValueError` where it has not so many bytes, or bits beyond the last regression are set.
    """
    check_evidence(packed, length)
    gaussian = packed[:, : -_OWN.itemsize]
    return TaskEvidence(_gaussians(gaussian, direction_count(length)), own_moments(packed))


def check_evidence(packed: Tensor, length: int) -> None:
    """Raises `ValueError` where these are not tensors `[T, bytes]` of inputs of such a length."""
    if packed.dtype != torch.uint8 or packed.shape[1:] != (evidence_bytes(length),):
        raise ValueError(
            f"expected uint8 [T, {evidence_bytes(length)}], got {packed.dtype} {list(packed.shape)}"
        )


def own_moments(packed: Tensor) -> OwnMoments:
    """How tasks' own rows are to them, from tensors `[T, bytes]` that were checked."""
    table = packed[:, -_OWN.itemsize :].contiguous().numpy().view(_OWN)[:, 0]
    levels = np.array([table[name] for name in _OWN_RANGES], np.float32)  # [4, T]
    values = np.maximum(levels, _OWN_LEAST) / _OWN_PARTS
    return OwnMoments(**dict(zip(_OWN_RANGES, torch.from_numpy(values), strict=True)))


def _packed_gaussian(gaussian: InputGaussians) -> Tensor:
    count = gaussian.means.shape[1]
    deviations = _levels((gaussian.deviations[0].log() - _LOWEST) / _STEP, 0, 255)
    exact = (deviations * _STEP + _LOWEST).exp()
    means = _levels(gaussian.means[0] / exact / _MEAN_STEP, -128, 127) + 128
    below = torch.tril_indices(count, count, -1)
    regressions = gaussian.regressions[0][below[0], below[1]]
    largest = regressions.abs().max() if len(regressions) else torch.tensor(1.0)
    step = _levels(((largest / (_MIDDLE - 1)).log() - _LOWEST) / _STEP, 0, 255).view(1)
    size = (step * _STEP + _LOWEST).exp()
    levels = _levels(regressions / size, 1 - _MIDDLE, _MIDDLE - 1)
    rounded = torch.zeros(1, count, count)
    rounded[0, below[0], below[1]] = levels * size
    fitted = gaussian.with_regressions(rounded)
    precisions = _levels((fitted.precisions[0].log() - _LOWEST_PRECISION) / _STEP, 0, 255)
    whole = (part.to(torch.uint8) for part in (deviations, means, precisions, step))
    return torch.cat([*whole, pack_levels((levels + _MIDDLE).to(torch.uint8), 4)])


def _gaussians(packed: Tensor, count: int) -> InputGaussians:
    deviations, means, precisions, step, levels = torch.split(packed, _parts(count)[:-1], dim=1)
    deviation = (deviations * _STEP + _LOWEST).exp()
    pairs = count * (count - 1) // 2
    exact = unpack_levels(levels.contiguous(), 4, pairs).to(torch.float32) - _MIDDLE
    sized = torch.zeros(len(packed), pairs + 1)
    torch.mul(exact, (step * _STEP + _LOWEST).exp(), out=sized[:, :pairs])
    # Chosen by place, what is not below the diagonal by that of a zero: to write to places is slow.
    regressions = sized.index_select(1, _places_of_pairs(count)).view(-1, count, count)
    return InputGaussians(
        (means.to(torch.float32) - 128) * _MEAN_STEP * deviation,
        deviation,
        (precisions * _STEP + _LOWEST_PRECISION).exp(),
        regressions,
    )


def level_tables() -> dict[str, Tensor]:
    """What each byte of a Gaussian is worth, fp32 `[256]` by name; of regressions two, `[256, 2]`.

    Means are in deviations, regressions in their steps. A task's bytes come in the order of
    `packed_evidence`.
    """
    levels = torch.arange(256)
    logs, log_precisions = levels * _STEP + _LOWEST, levels * _STEP + _LOWEST_PRECISION
    pairs = unpack_levels(levels.to(torch.uint8), 4, 512).view(256, 2)
    return {
        "steps": logs.exp(),
        "inverse_deviations": (-logs).exp(),
        "log_deviations": logs,
        "means": (levels - 128) * _MEAN_STEP,
        "precisions": log_precisions.exp(),
        "log_precisions": log_precisions,
        "regressions": pairs.to(torch.float32) - _MIDDLE,
    }


@cache
def _places_of_pairs(count: int) -> Tensor:
    """Of each entry of a matrix, row by row, which pair it is; the one after the last for none."""
    pairs = count * (count - 1) // 2
    places = torch.full((count, count), pairs)
    below = torch.tril_indices(count, count, -1)
    places[below[0], below[1]] = torch.arange(pairs)
    return places.flatten()


def expected_evidence(
    tensors: Mapping[str, Tensor], length: int
) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """The name, shape and type of the tensor where there is one; none without."""
    if EVIDENCE not in tensors:
        return {}
    return {EVIDENCE: ((evidence_bytes(length),), torch.uint8)}


def _levels(values: Tensor, lowest: int, highest: int) -> Tensor:
    return values.round().clamp(lowest, highest)
