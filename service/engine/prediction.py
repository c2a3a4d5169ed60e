"""What is answered to rows, before any face of the service has put it into words."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.engine.inference.identification import Identification
from service.engine.registry.task_table import RegisteredTask


class Prediction(NamedTuple):
    """Logits `[n, C]` of the task that answered; no task and no logits where it abstained.

    Where every row was a question of its own there is one in `each` for every row, and nothing
    else.
    """

    task: RegisteredTask | None
    logits: NDArray[np.float32] | None
    identification: Identification | None = None
    each: tuple["Prediction", ...] = ()

    @property
    def probabilities(self) -> NDArray[np.float32] | None:
        """Softmax of the logits, `[n, C]`."""
        if self.logits is None:
            return None
        # The reductions themselves: the methods around them cost as much again on one row, and
        # along an axis half of that.
        shifted: NDArray[np.float32]
        if len(self.logits) == 1:
            shifted = np.exp(self.logits - np.maximum.reduce(self.logits, axis=None))
            shifted /= np.add.reduce(shifted, axis=None)
        else:
            shifted = np.exp(self.logits - np.maximum.reduce(self.logits, axis=1, keepdims=True))
            shifted /= np.add.reduce(shifted, axis=1, keepdims=True)
        return shifted
