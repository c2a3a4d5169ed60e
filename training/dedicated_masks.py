"""Learn a supermask for one task, by edge-popup over the frozen weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from masked_network.backbones import MaskedLayer
from masked_network.supermask import (
    binary_mask,
    initial_scores,
    masked_weights,
    straight_through_mask,
)
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact, packed_supermask
from training.artifacts import Provenance, task_artifact
from training.fitting import Examples, FitOptions, OnStep, fit
from training.image_sets import ImageSet


def learn_supermask(
    backbone: nn.Module,
    weights: Mapping[str, Tensor],
    layers: Sequence[MaskedLayer],
    train: Examples,
    held_out: Examples,
    classes: int,
    density: float,
    options: FitOptions,
    on_step: OnStep = lambda: None,
) -> dict[str, Tensor]:
    """Each layer's mask, bool in its shape: the `density` share of the largest `|score|`.

    SupSup (2006.14769, section 3.1) by edge-popup (1911.13299).
    """
    generator = torch.Generator().manual_seed(options.seed)
    scores = initial_scores(layers, generator)
    for score in scores.values():
        score.requires_grad_()

    def compose_weights() -> Mapping[str, Tensor]:
        masks = {name: straight_through_mask(score, density) for name, score in scores.items()}
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
    )
    return {name: binary_mask(score, density) for name, score in scores.items()}


@dataclass(frozen=True)
class MaskRecipe:
    """A dedicated supermask; the bank takes no part."""

    fit: FitOptions
    density: float = 0.5

    @property
    def from_earlier_tasks(self) -> bool:
        return False

    def provenance(self) -> Provenance:
        return {"kind": "supermask", "density": self.density, **self.fit.provenance()}

    def steps(self, examples: int) -> int:
        return self.fit.steps(examples)

    def learn(
        self,
        network: FrozenNetwork,
        task: ImageSet,
        data_provenance: Provenance,
        on_step: OnStep = lambda: None,
        earlier: Sequence[TaskArtifact] = (),
    ) -> TaskArtifact:
        preprocessing = network.manifest.preprocessing
        held_out = task.held_out.examples(preprocessing)
        masks = learn_supermask(
            network.backbone,
            network.weights,
            network.layers,
            task.train.examples(preprocessing),
            held_out,
            len(task.classes),
            self.density,
            self.fit,
            on_step,
        )
        provenance = {**data_provenance, **self.provenance()}
        return task_artifact(network, task, held_out, packed_supermask(masks), provenance)
