"""Named tensors from safetensors bytes that may be damaged, or written by a stranger to do harm."""

import json

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

_LENGTH_BYTES = 8


def read_tensors(data: bytes) -> dict[str, Tensor]:
    """The tensors. Raises `ValueError`, and nothing else, where the bytes are no whole file."""
    try:
        return safetensors.torch.load(data)
    # What torch and numpy raise on shapes and types that the format allows and they do not know.
    except (SafetensorError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise ValueError(f"no whole safetensors file ({len(data)} bytes): {error}"[:500]) from error


def read_metadata(data: bytes) -> dict[str, str]:
    """The free-text metadata of bytes that `read_tensors` accepts."""
    header_length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + header_length])
    return header.get("__metadata__") or {}
