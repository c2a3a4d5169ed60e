"""Open the store that is asked for, or make it; refuse one that was made otherwise."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from masked_network.devices import CPU
from masked_network.layer_budget import kept_share
from masked_network.mask_bank import BankKind, Spread
from model_store.errors import StoreNotFound
from model_store.locations import location
from model_store.network import FrozenNetwork
from model_store.store import Store
from training.bank_options import BankOptions
from training.budgets import layer_budget
from training.errors import OptionError
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.impressions import OnImpression
from training.new_networks import new_network
from training.run_records import OnTaskEpoch
from training.task_streams import TaskStream

DEFAULT_GROUPS = 1024
"""Of a partition or ranked bank's largest layer. Spread by root and kept in four bits, on ten tasks
of permuted digits they reach .981 where 256 in every layer, in fp16, reach .968 at more bytes."""


@dataclass(frozen=True)
class StoreChoices:
    """What a person asked for of a store; None where they left the choice to us."""

    kind: BankKind | None = None
    size: int | None = None
    density: float | None = None
    seed: int | None = None
    backbone: str | None = None
    outputs: int | None = None
    first_task: int = 0
    """The first task that learned impressions come from."""
    er_scale: float | None = None
    learned: int | None = None
    """How many basis masks of a mixed bank are learned, or tasks a ranked one is learned from."""
    channel_groups: int | None = None
    spread: Spread | None = None
    own_layers: str | None = None
    """Names with commas between."""

    def bank_options(self, classes: int) -> BankOptions:
        """These choices, and the defaults for the rest; as many outputs as there are classes."""
        default = BankOptions()
        kind = default.kind if self.kind is None else self.kind
        grouped = kind in ("partition", "ranked")
        size = DEFAULT_GROUPS if grouped else default.size
        spread: Spread = "root" if grouped else "even"
        return BankOptions(
            kind=kind,
            size=size if self.size is None else self.size,
            density=self.density,
            seed=default.seed if self.seed is None else self.seed,
            backbone=default.backbone if self.backbone is None else self.backbone,
            outputs=classes if self.outputs is None else self.outputs,
            er_scale=self.er_scale,
            learned=self.learned,
            spread=spread if self.spread is None else self.spread,
            own_layers=tuple(self.own_layers.split(",")) if self.own_layers else (),
            channel_groups=(
                default.channel_groups if self.channel_groups is None else self.channel_groups
            ),
        )

    def check(self, folder: Path, network: FrozenNetwork) -> None:
        """Raise `OptionError` where the store was made otherwise, as far as it can tell."""
        manifest = network.manifest
        density = self.density
        if self.er_scale is not None and manifest.bank.kind != "mixed":
            density = kept_share(
                network.layers, layer_budget(network.layers, density, self.er_scale)
            )
        found = {
            "bank": (self.kind, manifest.bank.kind),
            "size": (self.size, manifest.bank.size),
            "density": (density, manifest.bank.density),
            "learned masks or tasks": (self.learned, manifest.bank.learned),
            "spread": (self.spread, manifest.bank.spread),
            "channel groups": (self.channel_groups, manifest.bank.channel_groups),
            "seed": (self.seed, manifest.backbone.seed),
            "backbone": (self.backbone, manifest.backbone.name),
            "outputs": (self.outputs, manifest.backbone.outputs),
        }
        for what, (asked, actual) in found.items():
            if asked is not None and asked != actual:
                raise OptionError(f"{location(folder)} was made with {what} {actual}, not {asked}")


def store_on(folder: Path, device: torch.device) -> Store:
    """The store in `folder`, its network on that device. Raises as `Store.open` does."""
    opened = Store.open(folder)
    opened.network = opened.network.to(device)
    return opened


def open_store(folder: Path, device: torch.device = CPU) -> Store | None:
    """As `store_on`; None where there is none. Raises `CorruptStore`."""
    try:
        return store_on(folder, device)
    except StoreNotFound:
        return None


def create_store(
    folder: Path,
    choices: StoreChoices,
    image_set: ImageSet,
    stream: TaskStream,
    fit_for: Callable[[int], FitOptions],
    on_impression: OnImpression = lambda: None,
    on_epoch: OnTaskEpoch = lambda _, __: None,
    device: torch.device = CPU,
) -> Store:
    """A new store for such data. Raises `StoreExists`, or as `store_network` does."""
    check_no_store(folder)
    network = store_network(choices, image_set, stream, fit_for, on_impression, on_epoch, device)
    return Store.create(folder, network)


def check_no_store(folder: Path) -> None:
    """Raise `StoreExists` where there is a store, before anything is learned for another."""
    Store.check_none(folder)


def store_network(
    choices: StoreChoices,
    image_set: ImageSet,
    stream: TaskStream,
    fit_for: Callable[[int], FitOptions],
    on_impression: OnImpression = lambda: None,
    on_epoch: OnTaskEpoch = lambda _, __: None,
    device: torch.device = CPU,
) -> FrozenNetwork:
    """The network of a store for such data; `fit_for` says how to learn from so many images.

    It is made on that device, and left there.

    Learned impressions come from tasks `first_task` and on of the stream: by default those that it
    begins with, so that a one-hot coefficient is such a task's own mask. Raises `OptionError` or
    `StreamError`.
    """
    options = choices.bank_options(len(stream.classes(image_set, 0)))
    options.check()
    if options.to_learn and options.kind != "homogeneous":
        # Better said now than after all the impressions before the one that is missing.
        stream.classes(image_set, choices.first_task + options.to_learn - 1)
    return new_network(
        options,
        image_set.preprocessing(),
        lambda k: stream.task(image_set, choices.first_task + k),
        fit_for(stream.training_images(image_set, choices.first_task)),
        on_impression,
        on_epoch,
        device,
    )
