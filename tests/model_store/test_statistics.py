"""A task's own statistics in its artifact, where the backbone normalises."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from masked_network.task_statistics import StatisticsLayer
from model_store.compatibility import check_artifact
from model_store.errors import InvalidArtifact
from model_store.network import FrozenNetwork, frozen_network
from model_store.segment_file import SEGMENT_START
from model_store.statistics_tensor import STATISTICS, packed_statistics
from model_store.store import Store
from model_store.task_artifact import KINDS, TaskArtifact, TaskKind, parse_artifact
from model_store.verify import verify_store
from tests.normalised_networks import normalised_artifact, normalised_network

MEANS, VARIANCES = 0, 1
Change = Callable[[dict[str, Tensor]], None]


@pytest.fixture(scope="module")
def normalising() -> FrozenNetwork:
    return normalised_network()


@pytest.fixture(params=KINDS)
def artifact(request: pytest.FixtureRequest, normalising: FrozenNetwork) -> TaskArtifact:
    return normalised_artifact(normalising, 1, request.param)


def test_statistics_come_back_bit_identical_from_the_store(
    tmp_path: Path, normalising: FrozenNetwork, artifact: TaskArtifact
) -> None:
    store = Store.create(tmp_path / "store", normalising)
    store.publish("task", artifact)
    loaded = Store.open(tmp_path / "store").load("task")
    assert loaded.content == artifact.content
    assert loaded.tensors[STATISTICS].dtype == torch.float16
    found = normalising.task_statistics(loaded)
    assert len(found) == 40
    for name, values in normalising.task_statistics(artifact).items():
        assert torch.equal(found[name], values)
    assert verify_store(tmp_path / "store").findings == ()


def test_statistics_are_counted_in_the_bytes_of_a_task(
    normalising: FrozenNetwork, artifact: TaskArtifact
) -> None:
    own = sum(
        tensor.numel() * tensor.element_size()
        for name, tensor in artifact.tensors.items()
        if name != STATISTICS
    )
    assert artifact.tensor_bytes == own + 1_500 * 2 * 2


def test_composed_is_all_that_the_forward_pass_needs_in_the_stated_shapes(
    normalising: FrozenNetwork, artifact: TaskArtifact
) -> None:
    composed = normalising.composed(artifact)
    shapes = {name: tuple(tensor.shape) for name, tensor in composed.items()}
    assert list(shapes.items()) == list(normalising.composed_shapes.items())
    assert {tensor.dtype for tensor in composed.values()} == {torch.float32}
    assert set(composed) - set(normalising.task_statistics(artifact)) == set(normalising.weights)


def test_network_is_made_again_from_its_manifest(normalising: FrozenNetwork) -> None:
    again = frozen_network(normalising.manifest, None)
    assert again.composed_shapes == normalising.composed_shapes


def _missing(tensors: dict[str, Tensor]) -> None:
    del tensors[STATISTICS]


def _extra(tensors: dict[str, Tensor]) -> None:
    tensors["statistics/stem_norm.running_mean"] = tensors[STATISTICS][0, :20].clone()


def _longer(tensors: dict[str, Tensor]) -> None:
    tensors[STATISTICS] = torch.cat([tensors[STATISTICS], tensors[STATISTICS][:, :1]], dim=1)


def _flat(tensors: dict[str, Tensor]) -> None:
    tensors[STATISTICS] = tensors[STATISTICS].flatten()


def _single_precision(tensors: dict[str, Tensor]) -> None:
    tensors[STATISTICS] = tensors[STATISTICS].to(torch.float32)


def _with(row: int, value: float) -> Change:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors[STATISTICS] = tensors[STATISTICS].clone()
        tensors[STATISTICS][row, -1] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_missing, "missing: 'statistics'; not expected: none"),
        (_extra, "missing: none; not expected: 'statistics/stem_norm.running_mean'"),
        (_longer, r"expected torch.float16 \[2, 1500\], got torch.float16 \[2, 1501\]"),
        (_flat, r"expected torch.float16 \[2, 1500\], got torch.float16 \[3000\]"),
        (_single_precision, r"expected torch.float16 \[2, 1500\], got torch.float32"),
        (_with(MEANS, float("nan")), "means must be finite"),
        (_with(MEANS, float("inf")), "means must be finite"),
        (_with(MEANS, -20_000.0), "within ±10000"),
        (_with(VARIANCES, float("nan")), "variances must be finite and above 0"),
        (_with(VARIANCES, float("inf")), "variances must be finite and above 0"),
        (_with(VARIANCES, 0.0), "variances must be finite and above 0"),
        (_with(VARIANCES, -1.0), "variances must be finite and above 0"),
    ],
)
def test_statistics_that_cannot_serve_are_refused_and_nothing_changes(
    tmp_path: Path,
    normalising: FrozenNetwork,
    artifact: TaskArtifact,
    change: Change,
    message: str,
) -> None:
    store = Store.create(tmp_path / "store", normalising)
    store.publish("task", artifact)
    tensors = dict(artifact.tensors)
    change(tensors)
    refused = parse_artifact(TaskArtifact(artifact.record, tensors).content)
    with pytest.raises(InvalidArtifact, match=message) as refusal:
        store.publish("task", refused)
    assert len(str(refusal.value)) <= 500
    assert store.load("task").content == artifact.content
    assert store.log.live_bytes + len(SEGMENT_START) == store.log.whole_bytes


def test_statistics_are_refused_where_nothing_is_normalised(
    network: FrozenNetwork, each_artifact: TaskArtifact
) -> None:
    check_artifact(network, each_artifact)
    tensors = {**each_artifact.tensors, STATISTICS: torch.zeros(2, 20, dtype=torch.float16)}
    with pytest.raises(InvalidArtifact, match="missing: none; not expected: 'statistics'"):
        check_artifact(network, replace(each_artifact, tensors=tensors))


def test_variance_is_never_rounded_down_to_zero() -> None:
    values = torch.tensor([0.0, 1e-12, 1e-7, 1.0, 60_000.0])
    layers = [StatisticsLayer("a", 2), StatisticsLayer("b", 3)]
    statistics = {"a.running_var": values[:2], "b.running_var": values[2:]}
    statistics |= {"a.running_mean": values[3:], "b.running_mean": values[:3]}
    kept = packed_statistics(statistics, layers)[STATISTICS]
    assert (kept[VARIANCES] > 0).all()
    assert torch.equal(kept[VARIANCES, 2:], values[2:].half())
    assert torch.equal(kept[MEANS], torch.cat([values[3:], values[:3]]).half())


def test_candidates_are_stacked_in_the_order_given(normalising: FrozenNetwork) -> None:
    kinds: list[TaskKind] = ["coefficients", "hybrid", "supermask"]
    artifacts = [normalised_artifact(normalising, seed, kind) for seed, kind in enumerate(kinds)]
    candidates = normalising.candidates(artifacts)
    assert len(candidates) == 3
    assert torch.equal(candidates.coefficients[1], normalising.coefficients(artifacts[1]))
    for name, stacked in candidates.statistics.items():
        expected = torch.stack([normalising.task_statistics(one)[name] for one in artifacts])
        assert torch.equal(stacked, expected)
    assert candidates.hybrids == 1
    with pytest.raises(ValueError, match="in the order coefficients, hybrid, supermask"):
        normalising.candidates(artifacts[::-1])
