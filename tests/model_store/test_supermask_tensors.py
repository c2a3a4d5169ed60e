"""The one form in which an artifact keeps a mask."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from masked_network.backbones import MaskedLayer
from model_store.supermask_tensors import packed_supermask, supermask_of


@given(st.integers(1, 300), st.floats(0, 0.2), st.integers(0, 2**31))
def test_a_mask_and_back_is_the_identity_in_the_fewest_bytes(
    size: int, density: float, seed: int
) -> None:
    mask = torch.rand(size, 2, generator=torch.Generator().manual_seed(seed)) < density
    packed = packed_supermask({"one": mask})
    layer = MaskedLayer("one", (size, 2))
    assert torch.equal(supermask_of(packed, [layer])["one"], mask)
    (tensor,) = packed.values()
    taken = tensor.numel() * tensor.element_size()
    assert taken == min(4 * int(mask.sum()), -(-2 * size // 8))


def test_half_the_weights_are_bits_and_a_hundredth_indices_under_the_layers_name() -> None:
    dense = packed_supermask({"one": torch.ones(3, 3, dtype=torch.bool)})
    assert {name: bits.tolist() for name, bits in dense.items()} == {"supermask/one": [255, 1]}
    sparse = torch.zeros(10, 10, dtype=torch.bool)
    sparse[4, 2] = True
    packed = packed_supermask({"one": sparse})
    assert {name: places.tolist() for name, places in packed.items()} == {
        "supermask-indices/one": [42]
    }
