"""What each way to compute a batch costs on this machine, measured on a task that is made up."""

import numpy as np
import torch

from masked_network.task_statistics import statistics_shapes
from model_store.artifact_layout import LayoutReader
from model_store.coefficient_tensors import quantised
from model_store.network import FrozenNetwork
from model_store.statistics_tensor import packed_statistics
from model_store.task_artifact import TaskArtifact
from model_store.task_record import MadeFor, TaskRecord
from service.engine.paths.forward_pass import ForwardPass
from service.engine.paths.mixed_forward import MixedForward
from service.engine.paths.path_cost import PathCost, least_seconds, measured_cost
from service.engine.paths.planner import Costs
from service.engine.registry.task_table import RegisteredTask, TaskTable
from service.engine.tiers.composed_cache import Compose


def measured_costs(
    network: FrozenNetwork, compose: Compose, forward: ForwardPass, mixed: MixedForward | None
) -> Costs:
    """Takes about a second, and a few of the largest backbones."""
    task = _made_up(network)
    row = np.zeros((1, network.manifest.preprocessing.row_length), np.float32)
    weights = compose(task)
    return Costs(
        measured_cost(lambda rows: forward(weights, row.repeat(rows, 0))),
        PathCost(least_seconds(lambda: compose(task)), 0.0),
        None if mixed is None else measured_cost(lambda rows: mixed([task] * rows, [row] * rows)),
    )


def _made_up(network: FrozenNetwork) -> RegisteredTask:
    used = network.used_by("coefficients")
    coefficients = torch.randn(used.shape, generator=torch.Generator().manual_seed(0))
    statistics = {
        name: torch.ones(shape) for name, shape in statistics_shapes(network.statistics).items()
    }
    made_for = MadeFor.of(network.manifest, uses_bank=True)
    artifact = TaskArtifact(
        TaskRecord(classes=("0",), made_for=made_for),
        {
            # As tasks are learned unless told otherwise. What finer ones take is learned of them.
            **quantised(coefficients, used, "int4"),
            **packed_statistics(statistics, network.statistics),
        },
    )
    content_hash = bytes.fromhex(artifact.content_hash)
    return TaskTable().add("made-up", LayoutReader(network).read(artifact.content, content_hash))
