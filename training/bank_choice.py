"""Which kind of bank suits a stream of tasks: learn one task over each, and compare.

The task tried is none of the stream's, and what decides is held-out data; test data take no part.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import torch

from masked_network.devices import CPU
from masked_network.mask_bank import BankKind
from model_store.network import FrozenNetwork
from training.artifacts import Recipe
from training.errors import OptionError, StreamError
from training.fitting import Epoch, FitOptions
from training.image_sets import ImageSet, LabelledImages
from training.run_records import OnTaskEpoch
from training.stores import StoreChoices, store_network
from training.task_streams import TaskStream
from training.threads import use_threads_that_help

CANDIDATES: tuple[BankKind, ...] = ("partition", "ranked", "atoms", "random")
"""Of about as many bytes a task, and with little to learn; what is cheapest to make first."""

_RANKED_FROM = 4
"""Tasks that a ranked bank is learned from where nothing else is said."""

_OTHER_SEED = 1 << 32
_GOLDEN_SECTION = (math.sqrt(5) - 1) / 2


def bank_kinds(names: str | None) -> tuple[BankKind, ...]:
    """The kinds named, with commas between; the usual ones for None. Raises `OptionError`."""
    if names is None:
        return CANDIDATES
    known: Mapping[str, BankKind] = {kind: kind for kind in get_args(BankKind)}
    asked = [name.strip() for name in names.split(",")]
    if unknown := [name for name in asked if name not in known]:
        raise OptionError(f"no kind of bank {unknown[0]!r}; there are: {', '.join(known)}")
    return tuple(dict.fromkeys(known[name] for name in asked))


@dataclass(frozen=True)
class BankTrial:
    """How the probe did over one kind of bank; or, instead of a network, why it was not tried."""

    kind: BankKind
    network: FrozenNetwork | None
    held_out_accuracy: float = 0.0
    tensor_bytes: int = 0
    """Of the probe's artifact."""
    masks_learned: int = 0
    seconds: float = 0.0
    """For the bank and the probe together."""
    held_out_images: int = 1
    left_out: str = ""

    @property
    def standard_error(self) -> float:
        """Of the held-out accuracy, as that of a share of so many images."""
        share = self.held_out_accuracy
        return math.sqrt(share * (1 - share) / self.held_out_images)


def probe_task(stream: TaskStream, image_set: ImageSet) -> ImageSet:
    """A task like the stream's that is none of them, whatever their number.

    permuted: a permutation of another seed. rotated: by the golden section of the angle between
    tasks, which no multiple of a rational angle is. split: classes as far apart as they can be.
    plain: the data set turned by a quarter. Raises `OptionError` where all tasks are alike, or a
    split is too small to leave another.
    """
    if stream.kind == "permuted":
        other = replace(stream, seed=stream.seed + _OTHER_SEED).task(image_set, 0)
        return replace(other, name="a permutation of another seed")
    if stream.kind == "rotated":
        if stream.degrees % 360 == 0:
            raise OptionError("a stream whose tasks are all alike leaves none to try banks on")
        degrees = stream.degrees * _GOLDEN_SECTION
        between = replace(stream, degrees=degrees).task(image_set, 1)
        return replace(between, name=f"images turned by {degrees:.2f} degrees")
    if stream.kind == "plain":
        turned = TaskStream("rotated", degrees=90.0).task(image_set, 1)
        return replace(turned, name="images turned by a quarter")
    tasks = stream.length(image_set)
    if tasks is None or tasks < 2 or stream.classes_per_task < 2:
        raise OptionError(
            "banks are tried on classes of several tasks: a split has two tasks of two classes"
        )
    chosen = [place * tasks for place in range(stream.classes_per_task)]
    classes = tuple(image_set.classes[label] for label in chosen)
    parts = (image_set.train, image_set.held_out, image_set.test)
    train, held_out, test = (_of_labels(part, chosen) for part in parts)
    return ImageSet(f"the classes {', '.join(classes)}", classes, train, held_out, test)


def _of_labels(part: LabelledImages, chosen: list[int]) -> LabelledImages:
    wanted = torch.tensor(chosen)
    rows = part.rows(torch.isin(part.labels, wanted))
    return LabelledImages(rows.images, torch.searchsorted(wanted, rows.labels))


def try_banks(
    kinds: Iterable[BankKind],
    choices: StoreChoices,
    image_set: ImageSet,
    stream: TaskStream,
    probe: ImageSet,
    recipe: Recipe,
    mask_fit_for: Callable[[int], FitOptions],
    on_kind: Callable[[BankKind], None] = lambda _: None,
    on_epoch: OnTaskEpoch = lambda _, __: None,
    device: torch.device = CPU,
) -> list[BankTrial]:
    """Make a bank of each kind and learn the probe over it on that device, all else alike.

    A density counts where masks are drawn or learned, and an ER budget where they are learned. A
    kind that such choices or the stream do not allow is left out with the reason.
    """
    trials = []
    for kind in kinds:
        on_kind(kind)
        started = time.perf_counter()
        own = _for_kind(choices, kind)
        try:
            network = store_network(
                own,
                image_set,
                stream,
                mask_fit_for,
                on_epoch=partial(_of_kind, on_epoch, kind),
                device=device,
            )
        except (OptionError, StreamError) as error:
            trials.append(BankTrial(kind, None, left_out=str(error)))
            continue
        use_threads_that_help(network)
        artifact = recipe.learn(
            network, probe, {}, on_epoch=partial(_of_kind, on_epoch, kind, "probe")
        )
        trials.append(
            BankTrial(
                kind,
                network,
                artifact.record.held_out_accuracy or 0.0,
                artifact.tensor_bytes,
                own.bank_options(1).to_learn,
                time.perf_counter() - started,
                len(probe.held_out),
            )
        )
    return trials


def _for_kind(choices: StoreChoices, kind: BankKind) -> StoreChoices:
    grouped = kind in ("partition", "ranked")
    learned = {"mixed": choices.learned, "ranked": choices.learned or _RANKED_FROM}
    return replace(
        choices,
        kind=kind,
        density=None if grouped else choices.density,
        er_scale=None if grouped or kind == "random" else choices.er_scale,
        learned=learned.get(kind),
        spread=choices.spread if grouped else None,
        own_layers=choices.own_layers if kind == "ranked" else None,
    )


def _of_kind(on_epoch: OnTaskEpoch, kind: BankKind, name: str, epoch: Epoch) -> None:
    on_epoch(f"{kind}/{name}", epoch)


def best_trial(trials: Sequence[BankTrial]) -> tuple[BankTrial, FrozenNetwork]:
    """The first trial within a standard error of the highest held-out accuracy, and its network.

    So what the order prefers, as what is cheap to serve, yields to no difference that may be
    chance. Raises `OptionError` where every kind was left out.
    """
    tried = [(trial, trial.network) for trial in trials if trial.network is not None]
    if not tried:
        reasons = "; ".join(f"{trial.kind}: {trial.left_out}" for trial in trials)
        raise OptionError(f"no kind of bank can be tried: {reasons}")
    highest = max((trial for trial, _ in tried), key=lambda trial: trial.held_out_accuracy)
    enough = highest.held_out_accuracy - highest.standard_error
    return next(pair for pair in tried if pair[0].held_out_accuracy >= enough)
