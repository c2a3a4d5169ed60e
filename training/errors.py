"""What can be asked of the trainer that it cannot do.

TrainingError
├── DataError       a data set that cannot be read, or holds no labelled images
├── StreamError     a task that the stream does not have
└── OptionError     options that contradict each other, or what a store holds
"""


class TrainingError(ValueError):
    """Anything that the person at the keyboard can put right."""


class DataError(TrainingError):
    """A data set that cannot be read, or that holds no labelled images."""


class StreamError(TrainingError):
    """A task that the stream does not have."""


class OptionError(TrainingError):
    """Options that contradict each other, or what a store already holds."""
