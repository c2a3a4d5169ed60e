"""Make a store's frozen network: backbone weights and a bank from seeds, or learned impressions."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import torch
from torch import Tensor, nn

from masked_network.backbones import MaskedLayer, build_backbone, masked_layers
from masked_network.channel_groups import channel_segments
from masked_network.frozen_weights import fingerprint, signed_constant_weights
from masked_network.mask_bank import MaskBank, bank_of_masks, partition_bank, random_bank
from masked_network.ranked_bank import ranked_bank
from model_store.manifest import BackboneRecord, BankRecord, Manifest
from model_store.network import FrozenNetwork
from model_store.preprocessing import Preprocessing
from training.bank_options import BankOptions
from training.dedicated_masks import learn_supermask
from training.errors import OptionError
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.mask_rules import MaskRule
from training.run_records import OnTaskEpoch
from training.shared_network import shared_multipliers

ImpressionTask = Callable[[int], ImageSet]
OnImpression = Callable[[], None]


def new_network(
    options: BankOptions,
    preprocessing: Preprocessing,
    impression_task: ImpressionTask,
    fit_options: FitOptions,
    on_impression: OnImpression = lambda: None,
    on_epoch: OnTaskEpoch = lambda _, __: None,
) -> FrozenNetwork:
    """The frozen network of a new store, with its manifest.

    `on_epoch` hears each epoch of impression k under the name `impression-k`.

    A homogeneous bank takes all impressions from `impression_task(0)`, k with the learner's seed
    raised by k; any other takes impression k from `impression_task(k)` (ImpressLearn 2210.01987,
    section 3), and asks for no data where it learns none. A ranked bank learns one network from all
    of its tasks, whose epochs are named `shared`. Raises `OptionError`.
    """
    options.check()
    try:
        backbone = build_backbone(options.backbone, preprocessing.input_shape, options.outputs)
    except ValueError as error:
        raise OptionError(str(error)) from error
    layers = masked_layers(backbone)
    segments = channel_segments(layers, options.channel_groups)
    density = options.recorded_density(layers)
    weights = signed_constant_weights(layers, options.seed)
    if options.kind == "ranked":
        bank = _ranked(
            options,
            backbone,
            weights,
            layers,
            preprocessing,
            impression_task,
            fit_options,
            on_epoch,
        )
    elif options.to_learn:
        masks = _learned_masks(
            options,
            backbone,
            weights,
            layers,
            preprocessing,
            impression_task,
            fit_options,
            on_impression,
            on_epoch,
        )
        if options.kind == "mixed":
            masks = _random_after(options, layers, masks, density)
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
            seed=None if options.to_learn else options.seed,
            learned=options.learned,
            spread=options.spread,
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
            return partition_bank(layers, options.size, options.seed, options.spread)
        return random_bank(layers, options.size, density, options.seed)
    except ValueError as error:
        raise OptionError(str(error)) from error


def _ranked(
    options: BankOptions,
    backbone: nn.Module,
    weights: dict[str, Tensor],
    layers: tuple[MaskedLayer, ...],
    preprocessing: Preprocessing,
    impression_task: ImpressionTask,
    fit_options: FitOptions,
    on_epoch: OnTaskEpoch,
) -> MaskBank:
    unknown = set(options.own_layers) - {layer.name for layer in layers}
    if unknown:
        known = ", ".join(layer.name for layer in layers)
        raise OptionError(f"{options.backbone} has no layer {min(unknown)!r}; it has {known}")
    tasks = [impression_task(k) for k in range(options.to_learn)]
    classes = max(len(task.classes) for task in tasks)
    if classes > options.outputs:
        raise OptionError(f"{classes} classes need as many outputs, not {options.outputs}")
    examples = [
        (
            task.train.examples(preprocessing),
            task.held_out.examples(preprocessing),
            len(task.classes),
        )
        for task in tasks
    ]
    multipliers = shared_multipliers(
        backbone, weights, examples, options.own_layers, fit_options, partial(on_epoch, "shared")
    )
    try:
        return ranked_bank(layers, options.size, options.seed, options.spread, multipliers)
    except ValueError as error:
        raise OptionError(str(error)) from error


def _cut(masks: Sequence[Tensor], segments: Sequence[MaskedLayer]) -> list[Tensor]:
    whole = torch.cat(list(masks), dim=1)  # [K, P], layer by layer as segments are
    return list(torch.split(whole, [segment.size for segment in segments], dim=1))


def _random_after(
    options: BankOptions, layers: Sequence[MaskedLayer], learned: list[Tensor], density: float
) -> list[Tensor]:
    count = options.size - options.to_learn
    random = random_bank(layers, count, density, options.seed)
    return [
        torch.cat([masks, *(random.mask(layer, k).unsqueeze(0) for k in range(count))])
        for layer, masks in enumerate(learned)
    ]  # [K, P_l] a layer


def _learned_masks(
    options: BankOptions,
    backbone: nn.Module,
    weights: dict[str, Tensor],
    layers: Sequence[MaskedLayer],
    preprocessing: Preprocessing,
    impression_task: ImpressionTask,
    fit_options: FitOptions,
    on_impression: OnImpression,
    on_epoch: OnTaskEpoch,
) -> list[Tensor]:
    learned = []
    homogeneous = options.kind == "homogeneous"
    for k in range(options.to_learn):
        task = impression_task(0 if homogeneous else k)
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
            MaskRule("top-k", options.learned_density(), options.er_scale),
            replace(fit_options, seed=fit_options.seed + k) if homogeneous else fit_options,
            on_epoch=partial(on_epoch, f"impression-{k}"),
        )
        learned.append(masks)
        on_impression()
    return [
        torch.stack([masks[layer.name].flatten() for masks in learned]) for layer in layers
    ]  # [K, P_l] a layer
