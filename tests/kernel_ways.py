"""The compiled kernels at every width that this machine has, and no kernels: for parametrising."""

from dataclasses import replace

import pytest

from masked_network.compiled import Kernels, compiled_kernels

COMPILED = compiled_kernels()


def registers_of(kernels: Kernels, lanes: int) -> bool:
    # What permutes registers multiplies and adds in one, as the widest vectors do.
    return kernels.permutes_bytes and lanes == kernels.lanes


NARROWED = (
    [
        replace(COMPILED, lanes=lanes, permutes_bytes=registers)
        for lanes in (4, 8, 16)
        for registers in (False, True)
        if lanes <= COMPILED.lanes and (not registers or registers_of(COMPILED, lanes))
    ]
    if COMPILED
    else []
)
WAYS: list[Kernels | None] = [None, *NARROWED]


def way(kernels: Kernels | None) -> str:
    if kernels is None:
        return "plain"
    return f"{kernels.lanes} lanes{', few in registers' if kernels.permutes_bytes else ''}"


each_way = pytest.mark.parametrize("kernels", WAYS, ids=way)

compiled_way = pytest.mark.parametrize("kernels", NARROWED, ids=way)
