"""Learn one task's coefficients `[L, K]` over a frozen bank."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from masked_network.composition import compose
from masked_network.quantisation import straight_through_four_bits
from model_store.network import FrozenNetwork
from model_store.task_artifact import Precision, TaskArtifact, quantised
from training.artifacts import Provenance, task_artifact
from training.fitting import FitOptions, OnStep, fit
from training.image_sets import ImageSet


@dataclass(frozen=True)
class CoefficientRecipe:
    """Coefficients with the bank frozen (ImpressLearn 2210.01987, section 3).

    What is learned is `beta = alpha * sqrt(K * density)`, started at unit normal from the seed: a
    weight's multiplier then starts at unit variance over any bank, and one learning rate serves
    all of them. That start is this project's own.
    """

    fit: FitOptions
    precision: Precision = "fp16"

    def provenance(self) -> Provenance:
        return {"kind": "coefficients", "precision": self.precision, **self.fit.provenance()}

    def steps(self, examples: int) -> int:
        return self.fit.steps(examples)

    def learn(
        self,
        network: FrozenNetwork,
        task: ImageSet,
        data_provenance: Provenance,
        on_step: OnStep = lambda: None,
    ) -> TaskArtifact:
        preprocessing = network.manifest.preprocessing
        held_out = task.held_out.examples(preprocessing)
        scale = 1 / math.sqrt(network.bank.size * network.bank.density)
        beta = _initial_beta(network, self.fit.seed).requires_grad_()
        fit(
            network.backbone,
            lambda: compose(network.weights, network.bank, self._as_kept(beta * scale)),
            [beta],
            task.train.examples(preprocessing),
            held_out,
            len(task.classes),
            self.fit,
            on_step,
        )
        tensors = quantised(beta.detach() * scale, self.precision)
        provenance = {**data_provenance, **self.provenance()}
        return task_artifact(network, task, held_out, tensors, provenance)

    def _as_kept(self, coefficients: Tensor) -> Tensor:
        # Four bits are learned with the rounding in place; the finer ones lose nothing by it.
        if self.precision == "int4":
            return straight_through_four_bits(coefficients)
        return coefficients


def _initial_beta(network: FrozenNetwork, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(network.layers), network.bank.size, generator=generator)
