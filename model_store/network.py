"""The frozen network of a store, made from its manifest: backbone, weights and bank."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod

import torch
from torch import Tensor, nn

from masked_network.backbones import MaskedLayer, build_backbone, masked_layers
from masked_network.channel_groups import channel_segments
from masked_network.compiled import Numbers, compiled_kernels
from masked_network.composition import compose
from masked_network.frozen_weights import fingerprint, signed_constant_weights
from masked_network.gpu_composition import GpuComposition
from masked_network.gpu_kernels import gpu_kernels
from masked_network.input_gaussians import directions
from masked_network.mask_bank import MaskBank
from masked_network.one_pass_composition import OnePassComposition
from masked_network.structures import Kept
from masked_network.supermask import masked_weights
from masked_network.task_inference import Candidates
from masked_network.task_statistics import (
    StatisticsLayer,
    moved_together,
    statistics_layers,
    statistics_shapes,
)
from model_store.bank_file import BANK_FILE, bank_of
from model_store.coefficient_reader import CoefficientReader, Sized
from model_store.coefficient_tensors import COEFFICIENTS, SCALES
from model_store.errors import CorruptStore
from model_store.manifest import Manifest
from model_store.statistics_tensor import STATISTICS, statistics_of
from model_store.supermask_tensors import supermask_of
from model_store.task_artifact import KINDS, TaskArrays, TaskKind, TaskTensors, TaskValues


@dataclass(frozen=True)
class FrozenNetwork:
    """What all tasks of a store share: backbone, weights and bank, with their manifest."""

    manifest: Manifest
    backbone: nn.Module
    layers: tuple[MaskedLayer, ...]
    weights: dict[str, Tensor]
    bank: MaskBank

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(iter(self.weights.values())).device

    @cached_property
    def statistics(self) -> tuple[StatisticsLayer, ...]:
        """The layers whose mean and variance each task brings; none where nothing is normalised."""
        return statistics_layers(self.backbone)

    @cached_property
    def segments(self) -> tuple[MaskedLayer, ...]:
        """What the bank takes for layers: the layers, cut into the store's channel groups."""
        return channel_segments(self.layers, self.manifest.bank.channel_groups)

    @cached_property
    def composed_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of everything that a task is composed to, in order."""
        weights: dict[str, tuple[int, ...]] = {layer.name: layer.shape for layer in self.layers}
        return weights | statistics_shapes(self.statistics)

    @cached_property
    def composed_bytes(self) -> int:
        """What a composed task takes."""
        return 4 * sum(map(prod, self.composed_shapes.values()))

    @cached_property
    def directions(self) -> Tensor:
        """The shared directions `[row_length, D]` of evidence of inputs, in main memory."""
        return directions(self.manifest.backbone.seed, self.manifest.preprocessing.row_length)

    def projected(self, inputs: Tensor) -> Tensor:
        """Inputs `[B, *input_shape]` in those directions, `[B, D]`, in main memory."""
        return inputs.flatten(start_dim=1).cpu() @ self.directions

    def to(self, device: torch.device) -> "FrozenNetwork":
        """The same network with its tensors on `device`."""
        weights = {name: weight.to(device) for name, weight in self.weights.items()}
        bank = self.bank.to(device)
        return FrozenNetwork(self.manifest, self.backbone, self.layers, weights, bank)

    def composed(self, artifact: TaskTensors) -> dict[str, Tensor]:
        """All that the task's forward pass needs, fp32: its weights, and its statistics if any."""
        statistics = moved_together(self.task_statistics(artifact), self.device)
        return self.composed_weights(artifact) | statistics

    def task_statistics(self, artifact: TaskValues) -> dict[str, Tensor]:
        """The task's own means and variances in fp32, by name; none where nothing is normalised."""
        return statistics_of(artifact.tensors, self.statistics)

    def composed_weights(self, artifact: TaskTensors) -> dict[str, Tensor]:
        """The task's own weights, fp32: each layer by coefficients over the bank, or by a mask."""
        composed: dict[str, Tensor] = {}
        if artifact.kind != "supermask":
            coefficients = self.coefficients(artifact).to(self.device)
            composed = self._compose(coefficients)
        masks = self._moved_supermask(artifact)
        masked = {name: self.weights[name] for name in masks}
        return composed | masked_weights(masked, masks)

    @cached_property
    def _compose(self) -> Callable[[Tensor], dict[str, Tensor]]:
        """Weights of coefficients, the same to the bit in one pass and without."""
        on_gpu, kernels = gpu_kernels(self.device), compiled_kernels()
        # Codes beyond two bytes have no one pass, nor, in main memory, many masks that overlap.
        with suppress(ValueError):
            if on_gpu is not None:
                return GpuComposition(self.weights, self.bank, on_gpu)
            if kernels is not None:
                return OnePassComposition(self.weights, self.bank, kernels)
        return partial(compose, self.weights, self.bank)

    def coefficients(self, artifact: TaskValues) -> Tensor:
        """The task's, fp32 `[L, K]`, zero where it has none; L counts channel groups.

        Those that it keeps are added to the bank's origin.
        Raises `ValueError` on a dedicated supermask, which has none at all.
        """
        if artifact.kind == "supermask":
            raise ValueError("a dedicated supermask has no coefficients")
        return self._with_origin(self.kept_coefficients(artifact), artifact.kind)

    def _with_origin(self, kept: Tensor, kind: TaskKind) -> Tensor:
        return kept if self.bank.origin is None else kept + self.origin_of(kind)

    def kept_coefficients(self, artifact: TaskValues) -> Tensor:
        """The same without the bank's origin; not of a dedicated supermask."""
        return self._readers[artifact.kind].read(artifact.tensors)

    def kept_numbers(self, task: TaskArrays) -> Numbers:
        """`kept_coefficients`, where only they are read; of several tasks `[T, L, K]`."""
        values, scales = task.array(COEFFICIENTS), task.array(SCALES)
        if values is None:
            raise ValueError("a dedicated supermask has no coefficients")
        return self._readers[task.kind].read_arrays(values, scales)

    def kept_as(self, kind: TaskKind, values: Sized, scales: Sized | None) -> Kept:
        """How tasks of a kind keep coefficients whose values and scales are of such types.

        Raises `ValueError` on wrong lengths.
        """
        return self._readers[kind].kept(values, scales)

    def values_of(self, task: TaskArrays) -> tuple[Tensor, dict[str, Tensor]]:
        """`coefficients` and `task_statistics`, where only they are read; of several, stacked."""
        coefficients = self._with_origin(torch.from_numpy(self.kept_numbers(task)), task.kind)
        joined = task.array(STATISTICS)
        if joined is None:
            return coefficients, {}
        return coefficients, statistics_of({STATISTICS: torch.from_numpy(joined)}, self.statistics)

    @cached_property
    def _readers(self) -> dict[TaskKind, CoefficientReader]:
        kernels = compiled_kernels()
        return {kind: CoefficientReader(used, kernels) for kind, used in self._used.items()}

    def origin_of(self, kind: TaskKind) -> Tensor:
        """What the coefficients that a task of that kind keeps are added to, fp32 `[L, K]`."""
        return self._origins[kind]

    @cached_property
    def _origins(self) -> dict[TaskKind, Tensor]:
        origin = self.bank.origin
        whole = torch.zeros(self.bank.used.shape) if origin is None else origin.cpu()
        return {kind: whole.where(used, 0.0) for kind, used in self._used.items()}

    def used_by(self, kind: TaskKind) -> Tensor:
        """Which coefficients a task of that kind has, bool `[L, K]`: those that a weight uses."""
        return self._used[kind]

    @cached_property
    def _used(self) -> dict[TaskKind, Tensor]:
        used: dict[TaskKind, Tensor] = {}
        for kind in KINDS:
            masked = channel_segments(self.masked_by(kind), self.manifest.bank.channel_groups)
            free = torch.tensor([segment not in masked for segment in self.segments])
            used[kind] = self.bank.used & free.unsqueeze(1)
        return used

    def masked_by(self, kind: TaskKind) -> tuple[MaskedLayer, ...]:
        """The layers for which a task of that kind has a dedicated mask."""
        return {"coefficients": (), "hybrid": self.layers[-1:], "supermask": self.layers}[kind]

    def supermask(self, artifact: TaskValues) -> dict[str, Tensor]:
        """The dedicated mask of each layer that has one, bool, in the layer's shape."""
        return supermask_of(artifact.tensors, self.masked_by(artifact.kind))

    def _moved_supermask(self, artifact: TaskTensors) -> dict[str, Tensor]:
        return {name: mask.to(self.device) for name, mask in self.supermask(artifact).items()}

    def candidates(self, artifacts: Sequence[TaskTensors]) -> Candidates:
        """The tasks as task inference takes them, in the order given.

        Raises `ValueError` where that is not the order of `KINDS`.
        """
        kinds = [artifact.kind for artifact in artifacts]
        if kinds != sorted(kinds, key=KINDS.index):
            raise ValueError(f"expected tasks in the order {', '.join(KINDS)}, got {kinds}"[:500])
        hybrids = kinds.count("hybrid")
        split = kinds.count("coefficients") + hybrids
        coefficients = torch.empty(split, *self.bank.used.shape)
        for row, artifact in zip(coefficients, artifacts, strict=False):
            row.copy_(self.coefficients(artifact))
        supermasks = [self._moved_supermask(artifact) for artifact in artifacts[split - hybrids :]]
        every = [self.task_statistics(artifact) for artifact in artifacts]
        statistics = {
            name: torch.stack([one[name] for one in every]).to(self.device)
            for name in statistics_shapes(self.statistics)
        }  # [T, channels] each
        return Candidates(coefficients.to(self.device), supermasks, statistics, hybrids)


def frozen_network(manifest: Manifest, bank_bytes: bytes | None) -> FrozenNetwork:
    """Make the network that a manifest describes and hold it against both fingerprints.

    `bank_bytes` is the bank's file where the bank was learned. Raises `CorruptStore`.
    """
    record = manifest.backbone
    try:
        backbone = build_backbone(record.name, manifest.preprocessing.input_shape, record.outputs)
    except ValueError as error:
        raise CorruptStore(f"manifest.json: {error}") from error
    layers = masked_layers(backbone)
    weights = signed_constant_weights(layers, record.seed)
    if fingerprint(weights) != record.fingerprint:
        raise CorruptStore(
            f"manifest.json: the weights of seed {record.seed} have the fingerprint "
            f"{fingerprint(weights)}, the manifest says {record.fingerprint}"
        )
    bank = bank_of(manifest.bank, layers, bank_bytes)
    if (bank.size, bank.density) != (manifest.bank.size, manifest.bank.density):
        raise CorruptStore(
            f"manifest.json: bank: expected K and density of {bank.size} and {bank.density}, "
            f"got {manifest.bank.size} and {manifest.bank.density}"
        )
    if bank.fingerprint() != manifest.bank.fingerprint:
        raise CorruptStore(
            f"{'manifest.json' if bank_bytes is None else BANK_FILE}: the bank has the fingerprint "
            f"{bank.fingerprint()}, the manifest says {manifest.bank.fingerprint}"
        )
    return FrozenNetwork(manifest, backbone, layers, weights, bank)
