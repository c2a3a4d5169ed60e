"""What torch rounds in products on a GPU: nothing, so that every path gives the same logits."""

import torch


def multiply_exactly(device: torch.device) -> None:
    """Have convolutions on a GPU multiply fp32 as such: unless told, they keep ten bits of it."""
    if device.type == "cuda":
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]  # it has
        torch.backends.cuda.matmul.fp32_precision = "ieee"
