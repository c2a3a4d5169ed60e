"""A store's bank: from its seed, or from the file beside the manifest where masks were learned."""

from collections.abc import Sequence

import safetensors.torch
import torch
from torch import Tensor

from masked_network.backbones import MaskedLayer
from masked_network.channel_groups import channel_segments
from masked_network.mask_bank import MaskBank, bank_of_masks, partition_bank, random_bank
from masked_network.ranked_bank import bank_of_groups
from model_store.errors import CorruptStore
from model_store.manifest import BankRecord
from model_store.packing import pack_bits, unpack_bits
from model_store.tensor_bytes import read_tensors

BANK_FILE = "bank.safetensors"
_ORIGIN = "origin"


def bank_of(
    record: BankRecord, layers: tuple[MaskedLayer, ...], bank_bytes: bytes | None
) -> MaskBank:
    """The bank that a record describes, from its seed or from its file's bytes.

    Raises `CorruptStore`; whether it has the record's fingerprint is for the caller to check.
    """
    segments = channel_segments(layers, record.channel_groups)
    if record.seed is not None:
        if record.kind == "partition":
            return partition_bank(segments, record.size, record.seed, record.spread)
        return random_bank(segments, record.size, record.density, record.seed)
    if bank_bytes is None:
        raise CorruptStore(f"{BANK_FILE}: missing, though the bank was learned")
    try:
        packed = read_tensors(bank_bytes)
        if record.kind == "ranked":
            groups = [_groups(packed[segment.name], segment) for segment in segments]
            return bank_of_groups(groups, packed[_ORIGIN].to(torch.float32))
        masks = [unpack_bits(packed[segment.name], segment.size) for segment in segments]
        return bank_of_masks(record.kind, masks, record.density)
    except (KeyError, ValueError) as error:
        raise CorruptStore(f"{BANK_FILE}: {error}") from error


def _groups(groups: Tensor, segment: MaskedLayer) -> Tensor:
    if groups.dtype != torch.int16 or groups.shape != (segment.size,):
        raise ValueError(
            f"{segment.name}: expected int16 [{segment.size}], "
            f"got {groups.dtype} {list(groups.shape)}"[:500]
        )
    return groups.to(torch.int32)


def bank_file(bank: MaskBank, segments: Sequence[MaskedLayer]) -> bytes:
    """The bytes that keep a learned bank: for each segment `[n, ceil(P_l / 8)]`, bit-packed.

    n is K, or of atoms the number of masks that they are the overlaps of. A ranked bank is the
    group of each weight, `[P_l]`, in two bytes, and its origin `[L, K]`.
    """
    packed = {}
    if bank.origin is not None:
        for segment, codes in zip(segments, bank.codes, strict=True):
            packed[segment.name] = codes[0].to(torch.int16)
        return safetensors.torch.save({**packed, _ORIGIN: bank.origin})
    for index, segment in enumerate(segments):
        masks = torch.stack([bank.impression(index, k) for k in range(bank.impressions)])
        packed[segment.name] = pack_bits(masks)
    return safetensors.torch.save(packed)
