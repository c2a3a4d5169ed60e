"""SupSup's experiment (2006.14769): a dedicated mask for each of many tasks, then no identity.

Learns in memory, and keeps no store.
"""

from collections.abc import Callable
from dataclasses import dataclass

from model_store.network import FrozenNetwork
from training.artifacts import Recipe
from training.dedicated_masks import MaskRecipe
from training.evaluation import KnownTask, OnTask
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.mask_rules import MaskRule
from training.task_streams import TaskStream


@dataclass(frozen=True)
class MaskSettings:
    """How each task's mask is learned: `score >= 0` by RMSProp, the learning rate constant.

    The defaults are the paper's for Permuted and Rotated MNIST.
    """

    learning_rate: float = 1e-4
    batches: int = 1000
    batch_size: int = 128

    def recipe(self, seed: int) -> MaskRecipe:
        """The recipe of a task whose scores start from `seed`."""
        fit = FitOptions(
            epochs=self.batches,  # more than enough
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            seed=seed,
            optimizer="rmsprop",
            schedule="constant",
            most_steps=self.batches,
        )
        return MaskRecipe(fit, MaskRule("threshold"))


def learn_tasks(
    network: FrozenNetwork,
    image_set: ImageSet,
    stream: TaskStream,
    tasks: int,
    recipe_for: Callable[[int], Recipe],
    on_task: OnTask = lambda: None,
) -> list[KnownTask]:
    """Tasks 0 to `tasks - 1` of a stream, each learned by its own recipe, ready to be measured."""
    known = []
    for index in range(tasks):
        artifact = recipe_for(index).learn(network, stream.task(image_set, index), {})
        known.append(KnownTask(stream.task_id(index), artifact, image_set, stream, index))
        on_task()
    return known
