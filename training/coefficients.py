"""Learn one task's coefficients `[L, K]` over a frozen bank; of a hybrid, the last layer's mask."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from masked_network.composition import compose
from masked_network.mask_bank import BankKind
from masked_network.quantisation import straight_through_levels
from model_store.coefficient_tensors import Precision, packed_bits, quantised
from model_store.network import FrozenNetwork
from model_store.supermask_tensors import packed_supermask
from model_store.task_artifact import TaskArtifact, TaskKind
from training.artifacts import task_artifact
from training.errors import OptionError
from training.fitting import FitOptions, OnEpoch, OnStep, fit, unheard
from training.image_sets import ImageSet
from training.mask_rules import TOP_HALF, starting_scores
from training.provenance import Provenance
from training.starts import (
    RANDN,
    Start,
    coefficient_scale,
    initial_coefficients,
    mean_provenance,
    sharing_the_bank,
)


@dataclass(frozen=True)
class CoefficientRecipe:
    """Coefficients with the bank frozen (ImpressLearn 2210.01987, section 3).

    What is learned is `beta = alpha * sqrt(K * density)`, so that one learning rate serves every
    bank; over a ranked one, what is added to the origin, in a quarter of that one's size. That
    scale is this project's own. A hybrid, known from ImpressLearn's prototype, has a dedicated mask
    on the last layer, top half by edge-popup, and learns it at the same time.
    """

    fit: FitOptions
    precision: Precision | None = None
    """None is `default_precision` of the network's bank."""
    start: Start | None = None
    """None is at the origin of a bank that has one, else randn."""
    penalty: float = 0.0
    """Weight of `norm_penalty`; 0 leaves it out."""
    mask_learning_rate: float | None = None
    """Of a hybrid's scores, which are not in the coefficients' units; None makes no hybrid."""

    def __post_init__(self) -> None:
        if not 0 <= self.penalty < math.inf:
            raise OptionError(f"a penalty's weight is 0 or more, got {self.penalty}")
        if self.mask_learning_rate is not None and not 0 < self.mask_learning_rate < math.inf:
            raise OptionError(f"a learning rate is above 0, got {self.mask_learning_rate}")

    @property
    def kind(self) -> TaskKind:
        """What it makes."""
        return "coefficients" if self.mask_learning_rate is None else "hybrid"

    @property
    def from_earlier_tasks(self) -> bool:
        return self.start is not None and self.start.kind == "mean"

    def provenance(self) -> Provenance:
        rate = self.mask_learning_rate
        return {
            "kind": self.kind,
            **({} if self.precision is None else {"precision": self.precision}),
            **({} if self.start is None else self.start.provenance()),
            "penalty": self.penalty,
            **({} if rate is None else {"mask_learning_rate": rate}),
            **self.fit.provenance(),
        }

    def steps(self, examples: int) -> int:
        return self.fit.steps(examples)

    def learn(
        self,
        network: FrozenNetwork,
        task: ImageSet,
        data_provenance: Provenance,
        on_step: OnStep = lambda: None,
        earlier: Sequence[TaskArtifact] = (),
        on_epoch: OnEpoch = unheard,
    ) -> TaskArtifact:
        precision = self.precision or default_precision(network.bank.kind)
        start = self.start or (RANDN if network.bank.origin is None else Start("origin"))
        preprocessing = network.manifest.preprocessing
        device = network.device
        held_out = task.held_out.examples(preprocessing, device)
        own = initial_coefficients(network, start, self.fit.seed, earlier, self.kind)
        scale, used = coefficient_scale(network).to(device), network.used_by(self.kind).to(device)
        beta = (own.to(device) / scale).requires_grad_()
        origin = network.origin_of(self.kind).to(device)
        layers = network.masked_by(self.kind)
        fresh = starting_scores(layers, TOP_HALF, self.fit.seed, ())
        scores = {name: score.to(device).requires_grad_() for name, score in fresh.items()}
        budget = TOP_HALF.budget(layers)

        def compose_weights() -> Mapping[str, Tensor]:
            coefficients = origin + _as_kept(beta * scale, used, precision)
            composed = compose(network.weights, network.bank, coefficients)
            for name, score in scores.items():
                mask = TOP_HALF.learnable_mask(score, budget[name])
                composed[name] = network.weights[name] * mask
            return composed

        fit(
            network.backbone,
            compose_weights,
            [beta, *scores.values()],
            task.train.examples(preprocessing, device),
            held_out,
            len(task.classes),
            self.fit,
            on_step,
            (lambda: self.penalty * norm_penalty(origin + beta * scale)) if self.penalty else None,
            on_epoch,
            [self.mask_learning_rate or 0.0 for _ in scores],
        )
        masks = {name: TOP_HALF.mask(score, budget[name]) for name, score in scores.items()}
        tensors = {
            **quantised((beta.detach() * scale).cpu(), network.used_by(self.kind), precision),
            **packed_supermask(masks),
        }
        provenance = {**data_provenance, **self.provenance(), **start.provenance()}
        if self.from_earlier_tasks:
            provenance |= mean_provenance(sharing_the_bank(network, earlier, self.kind))
        return task_artifact(network, task, held_out, tensors, provenance)


def default_precision(kind: BankKind) -> Precision:
    """Four bits where groups are many and alike, as their rounding was measured to cost nothing."""
    return "int4" if kind in ("partition", "ranked") else "fp16"


def _as_kept(coefficients: Tensor, used: Tensor, precision: Precision) -> Tensor:
    # A few bits are learned with the rounding in place; the finer ones lose nothing by it.
    bits = packed_bits(precision)
    return coefficients if bits is None else straight_through_levels(coefficients, used, bits)


def norm_penalty(coefficients: Tensor) -> Tensor:
    """`sum_l (|alpha_l|_1 - 1)^2`, which draws each layer's coefficients to a unit sum of sizes.

    Each channel group counts as a layer. From the prototype of ImpressLearn (2210.01987), which
    weighs it by 0.005.
    """
    return (coefficients.abs().sum(dim=1) - 1).square().sum()
