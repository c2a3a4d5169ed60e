"""Make a store's frozen network: backbone weights and a bank from seeds, or learned impressions."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch
from torch import Tensor, nn

from masked_network.backbones import MaskedLayer, build_backbone, masked_layers
from masked_network.channel_groups import channel_segments
from masked_network.frozen_weights import fingerprint, signed_constant_weights
from masked_network.layer_budget import kept_share, uniform_budget
from masked_network.mask_bank import (
    BankKind,
    MaskBank,
    bank_of_masks,
    partition_bank,
    random_bank,
)
from model_store.manifest import BackboneRecord, BankRecord, Manifest
from model_store.network import FrozenNetwork
from model_store.preprocessing import Preprocessing
from training.budgets import DEFAULT_LEARNED_DENSITY, layer_budget
from training.dedicated_masks import learn_supermask
from training.errors import OptionError
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.mask_rules import MaskRule

DEFAULT_RANDOM_DENSITY = 0.05

ImpressionTask = Callable[[int], ImageSet]
OnImpression = Callable[[], None]


@dataclass(frozen=True)
class BankOptions:
    """What a new store is made of. `seed` gives the weights and what is random in the bank."""

    kind: BankKind = "partition"
    size: int = 256
    density: float | None = None
    """Share of the weights that a basis mask keeps; None is the kind's own default."""
    seed: int = 0
    channel_groups: int = 1
    """In how many segments each layer's output channels are cut."""
    backbone: str = "lenet-300-100"
    outputs: int = 10
    er_scale: float | None = None
    """Learned impressions keep of each layer what `er_budget` says, instead of one density."""

    @property
    def learned(self) -> bool:
        """Whether the basis masks come from data."""
        return self.kind in ("heterogeneous", "homogeneous")

    def resolved_density(self) -> float:
        """The density itself. Raises `OptionError`."""
        if self.kind == "partition":
            if self.density is not None:
                raise OptionError(
                    f"a partition of {self.size} has density 1/{self.size}; give none"
                )
            return 1 / self.size
        default = DEFAULT_LEARNED_DENSITY if self.learned else DEFAULT_RANDOM_DENSITY
        density = default if self.density is None else self.density
        if not 0 < density <= 1:
            raise OptionError(f"density is the share kept, in (0, 1], got {density}")
        return density

    def budget(self, layers: Sequence[MaskedLayer]) -> dict[str, float]:
        """Each layer's density by its name. Raises `OptionError`."""
        if self.er_scale is None:
            return uniform_budget(layers, self.resolved_density())
        if not self.learned:
            raise OptionError(
                f"an ER budget is for learned impressions, not for a {self.kind} bank"
            )
        return layer_budget(layers, self.density, self.er_scale)


def new_network(
    options: BankOptions,
    preprocessing: Preprocessing,
    impression_task: ImpressionTask,
    fit_options: FitOptions,
    on_impression: OnImpression = lambda: None,
) -> FrozenNetwork:
    """The frozen network of a new store, with its manifest.

    A learned bank takes its impression k from `impression_task(k)` where it is heterogeneous, and
    from `impression_task(0)` with the learner's seed raised by k where it is homogeneous
    (ImpressLearn 2210.01987, section 3); else no data is asked for. Raises `OptionError`.
    """
    try:
        backbone = build_backbone(options.backbone, preprocessing.input_shape, options.outputs)
    except ValueError as error:
        raise OptionError(str(error)) from error
    layers = masked_layers(backbone)
    segments = channel_segments(layers, options.channel_groups)
    budget = options.budget(layers)
    density = options.resolved_density() if options.er_scale is None else kept_share(layers, budget)
    weights = signed_constant_weights(layers, options.seed)
    if options.learned:
        masks = _learned_masks(
            options,
            backbone,
            weights,
            layers,
            preprocessing,
            impression_task,
            fit_options,
            on_impression,
        )
        bank = bank_of_masks(options.kind, _cut(masks, segments), density)
    else:
        bank = _seeded_bank(options, segments, density)
    manifest = Manifest(
        created=creation_time(),
        backbone=BackboneRecord(
            name=options.backbone,
            outputs=options.outputs,
            seed=options.seed,
            fingerprint=fingerprint(weights),
        ),
        bank=BankRecord(
            kind=options.kind,
            size=options.size,
            channel_groups=options.channel_groups,
            density=density,
            seed=None if options.learned else options.seed,
            fingerprint=bank.fingerprint(),
        ),
        preprocessing=preprocessing,
    )
    return FrozenNetwork(manifest, backbone, layers, weights, bank)


def creation_time() -> datetime:
    """Now; or as SOURCE_DATE_EPOCH says in seconds, so that a store can be made again to the byte.

    Raises `OptionError` where that is no time. https://reproducible-builds.org/specs
    """
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if seconds is None:
        return datetime.now(UTC)
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise OptionError(f"SOURCE_DATE_EPOCH is whole seconds, got {seconds!r}") from error


def _seeded_bank(options: BankOptions, layers: Sequence[MaskedLayer], density: float) -> MaskBank:
    try:
        if options.kind == "partition":
            return partition_bank(layers, options.size, options.seed)
        return random_bank(layers, options.size, density, options.seed)
    except ValueError as error:
        raise OptionError(str(error)) from error


def _cut(masks: Sequence[Tensor], segments: Sequence[MaskedLayer]) -> list[Tensor]:
    whole = torch.cat(list(masks), dim=1)  # [K, P], layer by layer as segments are
    return list(torch.split(whole, [segment.size for segment in segments], dim=1))


def _learned_masks(
    options: BankOptions,
    backbone: nn.Module,
    weights: dict[str, Tensor],
    layers: Sequence[MaskedLayer],
    preprocessing: Preprocessing,
    impression_task: ImpressionTask,
    fit_options: FitOptions,
    on_impression: OnImpression,
) -> list[Tensor]:
    learned = []
    for k in range(options.size):
        heterogeneous = options.kind == "heterogeneous"
        task = impression_task(k if heterogeneous else 0)
        if len(task.classes) > options.outputs:
            raise OptionError(
                f"{len(task.classes)} classes need as many outputs, not {options.outputs}"
            )
        masks = learn_supermask(
            backbone,
            weights,
            layers,
            task.train.examples(preprocessing),
            task.held_out.examples(preprocessing),
            len(task.classes),
            MaskRule("top-k", options.density, options.er_scale),
            fit_options if heterogeneous else replace(fit_options, seed=fit_options.seed + k),
        )
        learned.append(masks)
        on_impression()
    return [
        torch.stack([masks[layer.name].flatten() for masks in learned]) for layer in layers
    ]  # [K, P_l] a layer
