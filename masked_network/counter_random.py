"""Random numbers that depend on a seed and a purpose alone, the same on every machine and version.

Raw Philox words through numpy's bit generator, whose stream numpy guarantees not to change.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray


def _stream(seed: int, purpose: str) -> np.random.Philox:
    digest = hashlib.sha256(f"{purpose}\x00{seed}".encode()).digest()
    return np.random.Philox(key=int.from_bytes(digest[:16], "little"))


def random_words(seed: int, purpose: str, count: int) -> NDArray[np.uint64]:
    """`count` words of 64 random bits for this seed and purpose."""
    return _stream(seed, purpose).random_raw(count).astype(np.uint64, copy=False)


def random_bits(seed: int, purpose: str, count: int) -> NDArray[np.uint8]:
    """`count` fair bits, each 0 or 1."""
    words = random_words(seed, purpose, -(-count // 64)).astype("<u8")
    return np.unpackbits(words.view(np.uint8), count=count, bitorder="little")


def random_permutation(seed: int, purpose: str, count: int) -> NDArray[np.int64]:
    """A uniformly random order of `0..count-1`."""
    return np.argsort(random_words(seed, purpose, count), kind="stable")
