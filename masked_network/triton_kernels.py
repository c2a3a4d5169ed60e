"""Codes to weights, and to products with them, on a GPU: the kernels, in Triton.

The one module that imports triton; what is here is compiled by it and not run by Python. Nothing is
checked: `gpu_kernels` calls these with what `gpu_codes` laid out.

Weights are read in groups of eight side by side, so that a group's eight signs are one byte.
"""

import triton
import triton.language as tl
from triton.errors import TritonError

__all__ = ["TritonError", "compose", "product"]


@triton.jit
def _factors(
    codes,
    signs,
    table,
    place,
    group,
    within,
    plane_length,
    entries,
    planes: tl.constexpr,
    packed: tl.constexpr,
):
    """`±sum over planes of table[plane, code]`, of the weights at `place + 8 * group + within`."""
    first = place + 8 * group
    read = tl.load(codes + first + within).to(tl.int32)
    if packed:
        negative = read & 1
        read = read >> 1
    else:
        byte = tl.load(signs + first // 8).to(tl.int32)
        negative = (byte >> within) & 1
    total = tl.load(table + read)
    for plane in tl.static_range(1, planes):
        more = tl.load(codes + plane * plane_length + first + within)
        total += tl.load(table + plane * entries + more.to(tl.int32))
    # A product, since a difference from zero would lose the sign of a zero.
    return total * tl.where(negative == 1, -1.0, 1.0)


# What differs from call to call must not be compiled for: that would be waited for.
@triton.jit(
    do_not_specialize=["rows", "first_block"], do_not_specialize_on_alignment=["task_of_row"]
)
def compose(
    codes,
    signs,
    tables,
    task_of_row,
    starts,
    magnitudes,
    composed,
    rows,
    first_block,
    plane_length,
    task_length,
    entries,
    row_length,
    planes: tl.constexpr,
    packed: tl.constexpr,
    size: tl.constexpr,
):
    """Of each row's task the weights of some blocks, `[rows, row_length]`; a program a block.

    Rows take turns, so that codes that were read for one are at hand for the next.
    """
    row = tl.program_id(0) % rows
    within_row = tl.program_id(0) // rows
    block = first_block + within_row
    task = tl.load(task_of_row + row)
    table = tables + task * task_length + tl.load(starts + block)
    group = tl.arange(0, size // 8)[:, None]
    within = tl.arange(0, 8)[None, :]
    factors = _factors(
        codes,
        signs,
        table,
        block.to(tl.int64) * size,
        group,
        within,
        plane_length,
        entries,
        planes,
        packed,
    )
    weights = factors * tl.load(magnitudes + block)
    into = composed + row.to(tl.int64) * row_length + within_row.to(tl.int64) * size
    tl.store(into + 8 * group + within, weights.to(composed.dtype.element_ty))


@triton.jit(do_not_specialize=["start", "output_count"])
def product(
    codes,
    signs,
    tables,
    task_of_row,
    inputs,
    outputs,
    start,
    magnitude,
    width,
    output_count,
    output_length,
    plane_length,
    task_length,
    entries,
    planes: tl.constexpr,
    packed: tl.constexpr,
    relu: tl.constexpr,
    tile: tl.constexpr,
    groups: tl.constexpr,
):
    """`tile` outputs of one row by the weights of its task, which are written nowhere.

    Beyond the layer's own, inputs are 0, and so are outputs: what fills up has a code too.
    """
    row = tl.program_id(0)
    out = tl.program_id(1) * tile + tl.arange(0, tile)
    table = tables + tl.load(task_of_row + row) * task_length + start
    place = out.to(tl.int64)[:, None, None] * width
    within = tl.arange(0, 8)[None, None, :]
    sums = tl.zeros([tile, groups, 8], tl.float32)
    # Beyond the layer's own outputs there are no codes.
    there = tl.where(tl.program_id(1) * tile < output_count, width // 8, 0)
    for first in range(0, there, groups):
        group = first + tl.arange(0, groups)[None, :, None]
        factors = _factors(
            codes,
            signs,
            table,
            place,
            group,
            within,
            plane_length,
            entries,
            planes,
            packed,
        )
        at = row.to(tl.int64) * width + 8 * group + within
        sums += factors * tl.load(inputs + at)
    total = tl.sum(tl.sum(sums, axis=2), axis=1) * magnitude
    if relu:
        # Not a maximum, which would make a number of NaN.
        total = tl.where(total < 0, 0.0, total)
    total = tl.where(out < output_count, total, 0.0)
    tl.store(outputs + row.to(tl.int64) * output_length + out, total)
