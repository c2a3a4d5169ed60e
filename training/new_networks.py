"""Make a store's frozen network with its manifest: backbone weights from the seed, and a bank."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime

import torch

from masked_network.backbones import MaskedLayer, build_backbone, masked_layers
from masked_network.channel_groups import channel_segments
from masked_network.devices import CPU
from masked_network.frozen_weights import fingerprint, signed_constant_weights
from masked_network.mask_bank import MaskBank, bank_of_masks, partition_bank, random_bank
from model_store.manifest import BackboneRecord, BankRecord, Manifest
from model_store.network import FrozenNetwork
from model_store.preprocessing import Preprocessing
from training.bank_options import BankOptions
from training.errors import OptionError
from training.fitting import FitOptions
from training.impressions import (
    ImpressionTask,
    OnImpression,
    cut_masks,
    learned_masks,
    random_after,
    ranked_by_tasks,
)
from training.run_records import OnTaskEpoch


def new_network(
    options: BankOptions,
    preprocessing: Preprocessing,
    impression_task: ImpressionTask,
    fit_options: FitOptions,
    on_impression: OnImpression = lambda: None,
    on_epoch: OnTaskEpoch = lambda _, __: None,
    device: torch.device = CPU,
) -> FrozenNetwork:
    """The frozen network of a new store, with its manifest; made on that device, and left there.

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
    moved = {name: weight.to(device) for name, weight in weights.items()}
    if options.kind == "ranked":
        bank = ranked_by_tasks(
            options,
            backbone,
            moved,
            layers,
            preprocessing,
            impression_task,
            fit_options,
            on_epoch,
        )
    elif options.to_learn:
        masks = learned_masks(
            options,
            backbone,
            moved,
            layers,
            preprocessing,
            impression_task,
            fit_options,
            on_impression,
            on_epoch,
        )
        if options.kind == "mixed":
            masks = random_after(options, layers, masks, density)
        bank = bank_of_masks(options.kind, cut_masks(masks, segments), density)
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
    return FrozenNetwork(manifest, backbone, layers, moved, bank.to(device))


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
