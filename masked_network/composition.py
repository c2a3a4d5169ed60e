"""One task's weights from the shared ones: `W * sum_k alpha_k M_k`, layer by layer.

Linear in the coefficients, so a superposition of tasks is the composition of averaged coefficients.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from masked_network.channel_groups import joined_segments
from masked_network.learning_codes import LearningCodes, paired_tables
from masked_network.mask_bank import MaskBank


class _TableLookup(torch.autograd.Function):
    """Sum over the planes of `table[plane, code]`; backward sums the gradient over each code."""

    @staticmethod
    def forward(ctx, table: Tensor, codes: Tensor, forms: LearningCodes) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(codes)
        ctx.shape, ctx.runs = table.shape, forms.runs
        if forms.paired is not None:
            table, codes = paired_tables(table), forms.paired
        looked_up = table[0].index_select(0, codes[0])
        for plane in range(1, codes.shape[0]):
            looked_up += table[plane].index_select(0, codes[plane])
        return looked_up  # [P_l]

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        if ctx.runs is not None:
            return ctx.runs.sums(grad, ctx.shape), None, None
        (codes,) = ctx.saved_tensors
        grad_table = grad.new_zeros(ctx.shape)
        for plane in range(codes.shape[0]):
            grad_table[plane].index_add_(0, codes[plane], grad)
        return grad_table, None, None


def multipliers(bank: MaskBank, coefficients: Tensor) -> list[Tensor]:
    """`sum_k alpha[l, k] * M[l, k]` for each layer, flat `[P_l]`, of coefficients `[L, K]`.

    Of a bank over channel groups each segment counts as a layer; `joined_segments` joins them.
    """
    if coefficients.shape != (len(bank.codes), bank.size):
        expected = (len(bank.codes), bank.size)
        raise ValueError(f"expected coefficients {expected}, got {tuple(coefficients.shape)}")
    tables = bank.tables(coefficients)  # [L, planes, entries]
    # Without a gradient to take, the forms to learn with are not worth their memory.
    forms = bank.for_learning if tables.requires_grad else (LearningCodes(),) * len(tables)
    return [
        _TableLookup.apply(table, codes, form)  # type: ignore[no-untyped-call]
        for table, codes, form in zip(tables, bank.codes, forms, strict=True)
    ]


def compose(
    weights: Mapping[str, Tensor], bank: MaskBank, coefficients: Tensor
) -> dict[str, Tensor]:
    """One task's weights from coefficients `[L, K]` (ImpressLearn 2210.01987, section 3).

    Differentiable in the coefficients. Raises `ValueError` on a wrong shape.
    """
    factors = joined_segments(multipliers(bank, coefficients), weights)
    return {name: weight * factors[name] for name, weight in weights.items()}
