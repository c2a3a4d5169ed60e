import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_store.packing import index_mask, mask_indices, pack_bits, unpack_bits


@given(st.integers(0, 100), st.integers(1, 4), st.integers(0, 2**31))
def test_packing_then_unpacking_is_the_identity(size: int, rows: int, seed: int) -> None:
    mask = torch.rand(rows, size, generator=torch.Generator().manual_seed(seed)) < 0.5
    packed = pack_bits(mask)
    assert packed.dtype == torch.uint8
    assert packed.shape == (rows, -(-size // 8))
    assert torch.equal(unpack_bits(packed, size), mask)


def test_first_weight_is_the_lowest_bit() -> None:
    mask = torch.tensor([True] + [False] * 8 + [True])
    assert pack_bits(mask).tolist() == [0b1, 0b10]


@pytest.mark.parametrize(
    "packed",
    [
        torch.zeros(1, dtype=torch.uint8),
        torch.zeros(3, dtype=torch.uint8),
        torch.zeros(2, dtype=torch.int8),
        torch.tensor(0, dtype=torch.uint8),
    ],
    ids=["short", "long", "signed", "scalar"],
)
def test_bytes_of_another_length_or_type_are_refused_with_both(packed: torch.Tensor) -> None:
    expected = rf"expected uint8 \[..., 2\] for 10 bits, got {packed.dtype} \["
    with pytest.raises(ValueError, match=expected):
        unpack_bits(packed, 10)


@pytest.mark.parametrize("bit", range(2, 8))
def test_a_set_padding_bit_is_refused(bit: int) -> None:
    packed = torch.tensor([255, 1 << bit], dtype=torch.uint8)
    with pytest.raises(ValueError, match="padding bits beyond 10"):
        unpack_bits(packed, 10)


@given(st.lists(st.booleans(), max_size=60))
def test_indices_and_back_is_the_identity(kept: list[bool]) -> None:
    mask = torch.tensor(kept, dtype=torch.bool)
    indices = mask_indices(mask)
    assert indices.dtype == torch.int32
    assert indices.tolist() == [place for place, keeps in enumerate(kept) if keeps]
    assert torch.equal(index_mask(indices, len(kept)), mask)
