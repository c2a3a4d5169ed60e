"""From pixels to a backbone's inputs, the same when training and when serving."""

import hashlib
import json
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

_Numbers = TypeVar("_Numbers", Tensor, NDArray[np.float32])


class Preprocessing(BaseModel):
    """The size and colour that images are brought to, and how their intensities are normalised."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    channels: int = Field(ge=1, le=3)
    """1 is grey, 3 is RGB."""
    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    mean: float
    """Subtracted from intensities scaled to 0..1."""
    std: float = Field(gt=0)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """`(channels, height, width)` of one row."""
        return (self.channels, self.height, self.width)

    @property
    def row_length(self) -> int:
        """Numbers in one flat row."""
        return self.channels * self.height * self.width

    def fingerprint(self) -> str:
        """`sha256:...` over every field."""
        text = json.dumps(self.model_dump(), sort_keys=True)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def to_inputs(self, intensities: Tensor) -> Tensor:
        """Intensities in 0..1, `[B, ...]`, to inputs `[B, channels, height, width]`, fp32."""
        shaped = intensities.to(torch.float32).reshape(-1, *self.input_shape)
        return self.normalised(shaped)

    def rows_to_inputs(self, intensities: NDArray[np.float32]) -> Tensor:
        """The same of rows `[B, row_length]` in main memory: the same numbers, sooner for a few."""
        return torch.from_numpy(self.normalised(intensities)).reshape(-1, *self.input_shape)

    def normalised(self, intensities: _Numbers) -> _Numbers:
        """The same numbers, in the shape that they come in; of fp32."""
        return (intensities - self.mean) / self.std

    def normalise(self, intensities: NDArray[np.float32], into: NDArray[np.float32]) -> None:
        """Write the same numbers where they are to be."""
        np.subtract(intensities, self.mean, out=into)
        np.divide(into, self.std, out=into)
