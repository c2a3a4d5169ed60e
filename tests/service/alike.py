"""Answers to the same rows: two passes may take different paths, which agree but for rounding."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def alike(found: ArrayLike, expected: ArrayLike) -> bool:
    """Whether they are of one shape and differ in no more than the order of summing explains."""
    one: np.ndarray[Any, Any] = np.asarray(found)
    other: np.ndarray[Any, Any] = np.asarray(expected)
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-5, atol=1e-5)


def alike_json(found: object, expected: object) -> bool:
    """Whether two JSON documents are the same, but for such differences of numbers."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            alike_json(found[key], expected[key]) for key in found
        )
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(alike_json, found, expected))
    if isinstance(found, float) and isinstance(expected, float):
        return alike(found, expected)
    return found == expected
