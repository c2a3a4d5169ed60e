import numpy as np
import torch

from masked_network.backbones import forward
from model_store.network import FrozenNetwork
from service.engine.composed_cache import ComposedWeights
from service.engine.entries import Entry, Rows
from service.engine.forward_pass import ForwardPass, GroupedForward
from tests.service.artifacts import MakeArtifact


def test_each_entry_is_answered_by_its_own_task(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    composed: dict[str, ComposedWeights] = {
        str(seed): network.composed(make_artifact(seed)) for seed in range(3)
    }
    generator = np.random.default_rng(1)
    entries = [
        Entry(key, composed[key], generator.random((size, 20), dtype=np.float32))
        for key, size in (("0", 2), ("1", 1), ("0", 3), ("2", 4), ("1", 1))
    ]
    answers = GroupedForward(ForwardPass(network, torch.device("cpu")))(entries)
    for entry, answer in zip(entries, answers, strict=True):
        inputs = network.manifest.preprocessing.to_inputs(torch.from_numpy(entry.rows))
        expected = forward(network.backbone, entry.payload, inputs)
        assert not isinstance(answer, Exception)
        assert np.allclose(answer, expected, atol=1e-5)


def test_rows_of_one_task_share_a_forward() -> None:
    seen = []

    def watched(payload: None, rows: Rows) -> Rows:
        seen.append(rows[:, 0].tolist())
        return rows

    entries = [
        Entry(key, None, np.array([[value]], dtype=np.float32))
        for key, value in (("a", 1), ("b", 2), ("a", 3))
    ]
    GroupedForward(watched)(entries)
    assert seen == [[1, 3], [2]]
