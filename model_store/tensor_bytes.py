"""Named tensors from safetensors bytes that may be damaged, or written by a stranger to do harm."""

import json
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

_LENGTH_BYTES = 8
_decode = json.JSONDecoder().raw_decode


def read_tensors(data: bytes) -> dict[str, Tensor]:
    """The tensors. Raises `ValueError`, and nothing else, where the bytes are no whole file."""
    try:
        return safetensors.torch.load(data)
    # What torch and numpy raise on shapes and types that the format allows and they do not know.
    except (SafetensorError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise ValueError(f"no whole safetensors file ({len(data)} bytes): {error}"[:500]) from error


def read_metadata(data: bytes) -> dict[str, str]:
    """The free-text metadata of bytes that `read_tensors` accepts."""
    header, _ = read_header(data)
    return header.get("__metadata__") or {}


def read_header(data: bytes | memoryview) -> tuple[dict[str, Any], int]:
    """The header, and where the tensors' bytes begin. Raises `ValueError` where it is no JSON."""
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    return read_json(str(data[_LENGTH_BYTES:end], "utf-8").rstrip(" ")), end


def read_json(text: str) -> Any:
    """As `json.loads`, which takes twice as long over a text this short."""
    found, end = _decode(text)
    if end != len(text):
        raise ValueError(f"more than one JSON value, the first of {end} characters")
    return found
