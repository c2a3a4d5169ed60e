"""Ways to learn a task that the report compares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from masked_network.mask_bank import Spread
from model_store.coefficient_tensors import Precision
from training.artifacts import Recipe
from training.batches import Augmentation
from training.coefficients import CoefficientRecipe
from training.dedicated_masks import MaskRecipe
from training.fitting import FitOptions
from training.starts import RANDN, Start
from training.stores import StoreChoices
from training.task_streams import TaskStream

MASK_RATES = (5e-4, 1e-3, 3e-3)
COEFFICIENT_RATES = (0.05, 0.1)
COEFFICIENT_RATE = 0.2
PAPER_RATE = 1e-4

IMPRESSION_FIT = FitOptions(4, 3e-3)
SHARED_FIT = FitOptions(3, 1e-3)
"""Of a ranked bank: passes over the tasks that it is learned from."""


@dataclass(frozen=True)
class Method:
    """A way to learn a task, fixed but for its learning rate and its seed."""

    name: str
    store: StoreChoices
    """The frozen network; methods with the same choices share it."""
    recipe: Callable[[float, int], Recipe]
    """From a learning rate and a seed."""
    rates: Sequence[float]
    """Candidates; held-out data of the study's choosing tasks choose."""
    rate_of: "Method | None" = None
    """The method whose chosen rate is this one's too, so that nothing but what is studied differs;
    there are no candidates then."""
    impression_stream: TaskStream | None = None
    """Where a learned bank's impressions come from; the study's own stream where left out."""
    impression_fit: FitOptions = IMPRESSION_FIT
    """How they are learned."""

    def __post_init__(self) -> None:
        if bool(self.rates) != (self.rate_of is None):
            raise ValueError(f"{self.name}: candidate rates or another method's rate, one of them")


def paper_mask(epochs: int) -> Method:
    """A dedicated mask with the optimiser of SupSup (2006.14769), which has nothing to tune."""

    def recipe(rate: float, seed: int) -> Recipe:
        return MaskRecipe(
            FitOptions(epochs, rate, seed=seed, optimizer="rmsprop", schedule="constant")
        )

    return Method("dedicated mask, RMSProp 1e-4, constant", _store(1), recipe, (PAPER_RATE,))


def tuned_mask(
    epochs: int,
    rates: Sequence[float] = MASK_RATES,
    backbone: str | None = None,
    augmentation: Augmentation = "none",
) -> Method:
    """A dedicated mask with Adam, its learning rate chosen and falling by cosine."""
    return Method(
        "dedicated mask, Adam, tuned",
        _store(1, backbone=backbone),
        lambda rate, seed: MaskRecipe(
            FitOptions(epochs, rate, seed=seed, augmentation=augmentation)
        ),
        rates,
    )


def partition(
    epochs: int,
    size: int,
    precision: Precision,
    rates: Sequence[float] = COEFFICIENT_RATES,
    backbone: str | None = None,
    spread: Spread = "even",
    augmentation: Augmentation = "none",
) -> Method:
    """Coefficients over a partition of `size`, in its largest layer if spread by root."""
    return Method(
        f"partition of {size:,}{_SPREADS[spread]}, {precision}",
        replace(_store(size, backbone=backbone), spread=spread),
        lambda rate, seed: CoefficientRecipe(
            FitOptions(epochs, rate, seed=seed, augmentation=augmentation), precision, RANDN
        ),
        rates,
    )


def ranked(
    epochs: int,
    size: int,
    precision: Precision,
    tasks: TaskStream,
    learned: int,
    rates: Sequence[float] = COEFFICIENT_RATES,
    backbone: str | None = None,
    own_layers: str | None = None,
    start: Start = RANDN,
    shared_fit: FitOptions = SHARED_FIT,
    first_task: int = 0,
) -> Method:
    """Coefficients over a bank ranked by what `learned` other tasks learned together.

    They are those from `first_task` on; its groups are spread by root. `shared_fit` says in how
    many passes they did, and whether tasks augment their images.
    """
    store = StoreChoices(
        kind="ranked",
        size=size,
        seed=0,
        backbone=backbone or "lenet-300-100",
        learned=learned,
        spread="root",
        own_layers=own_layers,
        first_task=first_task,
    )
    return Method(
        f"ranked by {learned} other tasks, {size:,} by root, {precision}",
        store,
        lambda rate, seed: CoefficientRecipe(
            FitOptions(epochs, rate, seed=seed, augmentation=shared_fit.augmentation),
            precision,
            start,
        ),
        rates,
        impression_stream=tasks,
        impression_fit=shared_fit,
    )


def learned_masks(
    epochs: int, kind: Literal["heterogeneous", "atoms"], count: int, tasks: TaskStream
) -> Method:
    """Coefficients over the masks of other tasks, or over the atoms of those, in fp16."""
    of_atoms = kind == "atoms"
    return Method(
        f"{'atoms of ' if of_atoms else ''}{count} learned masks, fp16",
        StoreChoices(kind=kind, size=2**count if of_atoms else count, seed=0),
        lambda rate, seed: CoefficientRecipe(FitOptions(epochs, rate, seed=seed), "fp16", RANDN),
        (COEFFICIENT_RATE,),
        impression_stream=tasks,
    )


def random_masks(epochs: int, size: int, density: float) -> Method:
    """Coefficients over random masks, in fp16."""
    return Method(
        f"{size} random masks of density {density:g}, fp16",
        StoreChoices(kind="random", size=size, density=density, seed=0),
        lambda rate, seed: CoefficientRecipe(FitOptions(epochs, rate, seed=seed), "fp16", RANDN),
        (COEFFICIENT_RATE,),
    )


_SPREADS: dict[Spread, str] = {"even": "", "root": " by root"}


def _store(size: int, backbone: str | None = None) -> StoreChoices:
    return StoreChoices(kind="partition", size=size, seed=0, backbone=backbone or "lenet-300-100")
