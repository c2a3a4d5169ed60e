"""Answer inputs of an unknown task with a network made for them: adapt coefficients, by entropy.

Where `task_inference` names one of the tasks, this minimises the entropy of the outputs over the
coefficients themselves: our second reading of inference without identity in ImpressLearn
(2210.01987); Tent (2006.10726) does so over the parameters of normalisation. Keeps nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from masked_network.backbones import forward
from masked_network.composition import compose
from masked_network.mask_bank import MaskBank
from masked_network.task_inference import entropy_nats

STEPS = 20
LEARNING_RATE = 0.02

_SMALL_GRADIENT = 1e-5


@dataclass(frozen=True)
class AdaptationStart:
    """Where adapting starts: coefficients `[L, K]`, how many outputs count, and statistics.

    The statistics, where the backbone normalises, stay as they are.
    """

    coefficients: Tensor
    classes: int
    statistics: Mapping[str, Tensor] = field(default_factory=dict)


def adapted_coefficients(
    backbone: nn.Module,
    weights: Mapping[str, Tensor],
    bank: MaskBank,
    start: AdaptationStart,
    inputs: Tensor,
    balance: float = 0.0,
    steps: int = STEPS,
    learning_rate: float = LEARNING_RATE,
) -> Tensor:
    """Coefficients `[L, K]` after `steps` of Adam on the mean entropy of inputs `[B, ...]`.

    Entropy alone is small too where every input gets the same answer; `balance` weighs the entropy
    of the mean answer, which is to be large, against it (SHOT 2002.08546). The learning rate is in
    units of the start's root mean square. Raises `ValueError` on fewer than two classes, whose
    entropy is always zero, or a start that is zero.
    """
    if start.classes < 2:
        raise ValueError(f"expected at least 2 classes to be uncertain of, got {start.classes}")
    unit = start.coefficients.square().mean().sqrt()
    if not unit > 0:
        raise ValueError("expected coefficients to start from, got zeros")
    adapted = (start.coefficients / unit).clone().requires_grad_()
    # With Adam's own 1e-8, rounding errors alone would make whole steps where nothing is to gain.
    optimizer = torch.optim.Adam([adapted], lr=learning_rate, eps=_SMALL_GRADIENT)
    with torch.enable_grad():
        for _ in range(steps):
            composed = compose(weights, bank, adapted * unit)
            logits = forward(backbone, {**composed, **start.statistics}, inputs)[:, : start.classes]
            loss = entropy_nats(logits).mean()
            if balance:
                mean_answer = logits.log_softmax(dim=1).logsumexp(dim=0)  # times B, in logarithms
                loss = loss - balance * entropy_nats(mean_answer)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            optimizer.step()
    return adapted.detach() * unit
