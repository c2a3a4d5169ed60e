"""Learn a supermask for one task, by edge-popup over the frozen weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from masked_network.backbones import MaskedLayer
from masked_network.supermask import masked_weights
from model_store.network import FrozenNetwork
from model_store.supermask_tensors import packed_supermask
from model_store.task_artifact import TaskArtifact
from training.artifacts import task_artifact
from training.batches import Examples
from training.fitting import FitOptions, OnEpoch, OnStep, fit, unheard
from training.image_sets import ImageSet
from training.mask_rules import TOP_HALF, MaskRule, ScoreStart, starting_scores
from training.provenance import Provenance
from training.starts import mean_provenance


def learn_supermask(
    backbone: nn.Module,
    weights: Mapping[str, Tensor],
    layers: Sequence[MaskedLayer],
    train: Examples,
    held_out: Examples,
    classes: int,
    rule: MaskRule,
    options: FitOptions,
    on_step: OnStep = lambda: None,
    earlier: Sequence[Mapping[str, Tensor]] = (),
    on_epoch: OnEpoch = unheard,
) -> dict[str, Tensor]:
    """Each layer's mask by the rule, bool in its shape; `earlier` masks are where scores start.

    SupSup (2006.14769, section 3.1) by edge-popup (1911.13299). Weights and examples are on one
    device, and so are the masks; the earlier ones are on the CPU.
    """
    fresh = starting_scores(layers, rule, options.seed, earlier)
    scores = {
        name: score.to(weights[name].device).requires_grad_() for name, score in fresh.items()
    }
    budget = rule.budget(layers)

    def compose_weights() -> Mapping[str, Tensor]:
        masks = {
            name: rule.learnable_mask(score, budget.get(name)) for name, score in scores.items()
        }
        return masked_weights(weights, masks)

    fit(
        backbone,
        compose_weights,
        list(scores.values()),
        train,
        held_out,
        classes,
        options,
        on_step,
        on_epoch=on_epoch,
    )
    return {name: rule.mask(score, budget.get(name)) for name, score in scores.items()}


@dataclass(frozen=True)
class MaskRecipe:
    """A dedicated supermask; the bank takes no part."""

    fit: FitOptions
    rule: MaskRule = TOP_HALF
    start: ScoreStart = "fresh"

    @property
    def from_earlier_tasks(self) -> bool:
        return self.start == "transfer"

    def provenance(self) -> Provenance:
        return {
            "kind": "supermask",
            "start": self.start,
            **self.rule.provenance(),
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
        preprocessing = network.manifest.preprocessing
        held_out = task.held_out.examples(preprocessing, network.device)
        dedicated = [task for task in earlier if task.kind == "supermask"]
        starting = dedicated if self.from_earlier_tasks else []
        masks = learn_supermask(
            network.backbone,
            network.weights,
            network.layers,
            task.train.examples(preprocessing, network.device),
            held_out,
            len(task.classes),
            self.rule,
            self.fit,
            on_step,
            [network.supermask(task) for task in starting],
            on_epoch,
        )
        provenance = {**data_provenance, **self.provenance()}
        if self.from_earlier_tasks:
            provenance |= mean_provenance(dedicated)
        return task_artifact(network, task, held_out, packed_supermask(masks), provenance)
