"""What the command line's options ask for, checked and as learning takes it."""

import math
from dataclasses import dataclass, replace

import torch

from masked_network.devices import DeviceName, chosen_device
from model_store.task_tags import checked_tags
from training.batches import Augmentation
from training.errors import OptionError
from training.fitting import FitOptions, OptimizerName, Schedule
from training.options import DEFAULT_STEPS, MASK_LEARNING_RATE
from training.task_streams import StreamKind, TaskStream


@dataclass(frozen=True)
class FitChoices:
    """How to learn, `epochs` None where the number of images is to decide."""

    epochs: int | None
    options: FitOptions

    def for_images(self, images: int) -> FitOptions:
        """The options for a task of so many training images."""
        if self.epochs is not None:
            return replace(self.options, epochs=self.epochs)
        steps_per_epoch = max(1, math.ceil(images / self.options.batch_size))
        steps = self.options.most_steps or DEFAULT_STEPS
        return replace(self.options, epochs=math.ceil(steps / steps_per_epoch))


def fit_choices(
    epochs: int | None,
    learning_rate: float | None,
    default_learning_rate: float,
    batch_size: int,
    exposure: float,
    seed: int,
    optimizer: OptimizerName = "adam",
    patience: int = 0,
    schedule: Schedule = "cosine",
    steps: int | None = None,
    augmentation: Augmentation = "none",
) -> FitChoices:
    """What the options say of learning. Raises `OptionError`."""
    rate = default_learning_rate if learning_rate is None else learning_rate
    if not 0 < rate < math.inf:
        raise OptionError(f"a learning rate is above 0, got {rate}")
    if not 0 <= exposure < math.inf:
        raise OptionError(f"an exposure is 0 or more, got {exposure}")
    options = FitOptions(
        1, rate, batch_size, exposure, seed, optimizer, schedule, patience, steps or 0, augmentation
    )
    return FitChoices(epochs, options)


def chosen_tags(tags: list[str] | None) -> tuple[str, ...]:
    """Each once and in order. Raises `OptionError`."""
    try:
        return checked_tags(tags or ())
    except ValueError as error:
        raise OptionError(str(error)) from None


def asked_device(name: DeviceName) -> torch.device:
    """The device that the options ask for. Raises `OptionError` where there is none."""
    try:
        return chosen_device(name)
    except ValueError as error:
        raise OptionError(str(error)) from error


def hybrid_rate(hybrid: bool, mask_learning_rate: float | None) -> float | None:
    """The learning rate of a hybrid's mask; None for no hybrid. Raises `OptionError`."""
    if not hybrid and mask_learning_rate is not None:
        raise OptionError("a mask's learning rate is a hybrid's: give --hybrid with it")
    rate = MASK_LEARNING_RATE if mask_learning_rate is None else mask_learning_rate
    return rate if hybrid else None


def task_stream(kind: StreamKind, seed: int, degrees: float, classes_per_task: int) -> TaskStream:
    """The stream that the options describe. Raises `OptionError`."""
    if not math.isfinite(degrees):
        raise OptionError(f"an angle is a finite number of degrees, got {degrees}")
    return TaskStream(kind, seed, degrees, classes_per_task)
