"""Learn what a bank is made of from tasks: impressions, or the network that ranks its weights."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from masked_network.backbones import MaskedLayer
from masked_network.mask_bank import MaskBank, random_bank
from masked_network.ranked_bank import ranked_bank
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


def ranked_by_tasks(
    options: BankOptions,
    backbone: nn.Module,
    weights: dict[str, Tensor],
    layers: tuple[MaskedLayer, ...],
    preprocessing: Preprocessing,
    impression_task: ImpressionTask,
    fit_options: FitOptions,
    on_epoch: OnTaskEpoch,
) -> MaskBank:
    """A ranked bank, on the CPU, of the network that tasks 0 and on learn where the weights are.

    Raises `OptionError` on a layer or more classes than there are, or groups out of bounds.
    """
    unknown = set(options.own_layers) - {layer.name for layer in layers}
    if unknown:
        known = ", ".join(layer.name for layer in layers)
        raise OptionError(f"{options.backbone} has no layer {min(unknown)!r}; it has {known}")
    tasks = [impression_task(k) for k in range(options.to_learn)]
    classes = max(len(task.classes) for task in tasks)
    if classes > options.outputs:
        raise OptionError(f"{classes} classes need as many outputs, not {options.outputs}")
    device = weights[layers[0].name].device
    examples = [
        (
            task.train.examples(preprocessing, device),
            task.held_out.examples(preprocessing, device),
            len(task.classes),
        )
        for task in tasks
    ]
    multipliers = shared_multipliers(
        backbone, weights, examples, options.own_layers, fit_options, partial(on_epoch, "shared")
    )
    found = {name: learned.cpu() for name, learned in multipliers.items()}
    try:
        return ranked_bank(layers, options.size, options.seed, options.spread, found)
    except ValueError as error:
        raise OptionError(str(error)) from error


def cut_masks(masks: Sequence[Tensor], segments: Sequence[MaskedLayer]) -> list[Tensor]:
    """Masks `[K, P_l]` of each layer as those of its segments."""
    whole = torch.cat(list(masks), dim=1)  # [K, P], layer by layer as segments are
    return list(torch.split(whole, [segment.size for segment in segments], dim=1))


def random_after(
    options: BankOptions, layers: Sequence[MaskedLayer], learned: list[Tensor], density: float
) -> list[Tensor]:
    """Learned masks `[n, P_l]` of each layer and random ones after them, `[K, P_l]`."""
    count = options.size - options.to_learn
    random = random_bank(layers, count, density, options.seed)
    return [
        torch.cat([masks, *(random.mask(layer, k).unsqueeze(0) for k in range(count))])
        for layer, masks in enumerate(learned)
    ]  # [K, P_l] a layer


def learned_masks(
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
    """The masks of impressions 0 and on, `[n, P_l]` a layer, on the CPU; learned where weights are.

    Raises `OptionError`.
    """
    learned, device = [], weights[layers[0].name].device
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
            task.train.examples(preprocessing, device),
            task.held_out.examples(preprocessing, device),
            len(task.classes),
            MaskRule("top-k", options.learned_density(), options.er_scale),
            replace(fit_options, seed=fit_options.seed + k) if homogeneous else fit_options,
            on_epoch=partial(on_epoch, f"impression-{k}"),
        )
        learned.append({name: mask.cpu() for name, mask in masks.items()})
        on_impression()
    return [
        torch.stack([masks[layer.name].flatten() for masks in learned]) for layer in layers
    ]  # [K, P_l] a layer
