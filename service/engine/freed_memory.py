"""What is done with memory that a batch leaves: it is kept for the next one."""

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""As `malloc.h` numbers them."""
_KEPT_BYTES = 1 << 28
_LARGEST_BYTES = 1 << 25
"""The most that glibc takes for a bound of what it asks the system for by itself."""


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, unless its own environment variables say otherwise.

    Else the system takes the activations of a large batch back after each layer and gives them
    again page by page: 256 rows of a small ResNet-18 took a third longer. Nothing is done where
    there is another allocator.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
