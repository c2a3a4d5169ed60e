"""Ways to learn a task that the report compares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model_store.coefficient_tensors import Precision
from training.artifacts import Recipe
from training.coefficients import CoefficientRecipe
from training.dedicated_masks import MaskRecipe
from training.fitting import FitOptions
from training.stores import StoreChoices
from training.task_streams import TaskStream

MASK_RATES = (1e-3, 3e-3)
COEFFICIENT_RATES = (0.05, 0.2)
COEFFICIENT_RATE = 0.2
PAPER_RATE = 1e-4

IMPRESSION_FIT = FitOptions(4, 3e-3)


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
    after: tuple[int, ...] = ()
    """The tasks that are learned before, for a recipe that starts from them."""
    before: "Method | None" = None
    """How those are learned, with this method's rate and seed."""
    rate_of: "Method | None" = None
    """The method whose chosen rate is this one's too, so that nothing but what is studied differs;
    there are no candidates then."""
    impression_stream: TaskStream | None = None
    """Where a learned bank's impressions come from; the study's own stream where left out."""
    impression_fit: FitOptions = IMPRESSION_FIT
    """How they are learned."""

    def __post_init__(self) -> None:
        if bool(self.after) != (self.before is not None):
            raise ValueError(f"{self.name}: tasks to learn before, and how, go together")
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
    epochs: int, rates: Sequence[float] = MASK_RATES, backbone: str | None = None
) -> Method:
    """A dedicated mask with Adam, its learning rate chosen and falling by cosine."""
    return Method(
        "dedicated mask, Adam, tuned",
        _store(1, backbone=backbone),
        lambda rate, seed: MaskRecipe(FitOptions(epochs, rate, seed=seed)),
        rates,
    )


def partition(
    epochs: int,
    size: int,
    precision: Precision,
    rates: Sequence[float] = COEFFICIENT_RATES,
    backbone: str | None = None,
) -> Method:
    """Coefficients over a partition of `size`."""
    return Method(
        f"partition of {size:,}, {precision}",
        _store(size, backbone=backbone),
        lambda rate, seed: CoefficientRecipe(FitOptions(epochs, rate, seed=seed), precision),
        rates,
    )


def random_masks(epochs: int, size: int, density: float) -> Method:
    """Coefficients over random masks, in fp16."""
    return Method(
        f"{size} random masks of density {density:g}, fp16",
        StoreChoices(kind="random", size=size, density=density, seed=0),
        lambda rate, seed: CoefficientRecipe(FitOptions(epochs, rate, seed=seed)),
        (COEFFICIENT_RATE,),
    )


def _store(size: int, backbone: str | None = None) -> StoreChoices:
    return StoreChoices(kind="partition", size=size, seed=0, backbone=backbone or "lenet-300-100")
