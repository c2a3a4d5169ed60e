"""A task's own statistics in its artifact, where the backbone normalises."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_store.compatibility import check_artifact
from model_store.errors import InvalidArtifact
from model_store.network import FrozenNetwork, frozen_network
from model_store.store import Store
from model_store.task_artifact import (
    STATISTICS_PREFIX,
    TaskArtifact,
    half_statistics,
    parse_artifact,
)
from model_store.verify import verify_store
from tests.normalised_networks import normalised_artifact, normalised_network

MEAN = STATISTICS_PREFIX + "stem_norm.running_mean"
VARIANCE = STATISTICS_PREFIX + "stages.3.1.norm2.running_var"
Change = Callable[[dict[str, Tensor]], None]


@pytest.fixture(scope="module")
def normalising() -> FrozenNetwork:
    return normalised_network()


@pytest.fixture(params=["coefficients", "supermask"])
def artifact(request: pytest.FixtureRequest, normalising: FrozenNetwork) -> TaskArtifact:
    return normalised_artifact(normalising, 1, request.param)


def test_statistics_come_back_bit_identical_from_the_store(
    tmp_path: Path, normalising: FrozenNetwork, artifact: TaskArtifact
) -> None:
    store = Store.create(tmp_path / "store", normalising)
    store.publish("task", artifact)
    loaded = Store.open(tmp_path / "store").load("task")
    assert loaded.content == artifact.content
    assert len(loaded.statistics) == 40
    for name, values in artifact.statistics.items():
        assert torch.equal(loaded.statistics[name], values)
        assert loaded.tensors[STATISTICS_PREFIX + name].dtype == torch.float16
    assert verify_store(tmp_path / "store").findings == ()


def test_statistics_are_counted_in_the_bytes_of_a_task(
    normalising: FrozenNetwork, artifact: TaskArtifact
) -> None:
    own = sum(
        tensor.numel() * tensor.element_size()
        for name, tensor in artifact.tensors.items()
        if not name.startswith(STATISTICS_PREFIX)
    )
    assert artifact.tensor_bytes == own + 1_500 * 2 * 2


def test_composed_is_all_that_the_forward_pass_needs_in_the_stated_shapes(
    normalising: FrozenNetwork, artifact: TaskArtifact
) -> None:
    composed = normalising.composed(artifact)
    shapes = {name: tuple(tensor.shape) for name, tensor in composed.items()}
    assert list(shapes.items()) == list(normalising.composed_shapes.items())
    assert {tensor.dtype for tensor in composed.values()} == {torch.float32}
    assert set(composed) - set(artifact.statistics) == set(normalising.weights)


def test_network_is_made_again_from_its_manifest(normalising: FrozenNetwork) -> None:
    again = frozen_network(normalising.manifest, None)
    assert again.composed_shapes == normalising.composed_shapes


def _missing(tensors: dict[str, Tensor]) -> None:
    del tensors[MEAN]


def _none_at_all(tensors: dict[str, Tensor]) -> None:
    for name in [name for name in tensors if name.startswith(STATISTICS_PREFIX)]:
        del tensors[name]


def _extra(tensors: dict[str, Tensor]) -> None:
    tensors[STATISTICS_PREFIX + "stages.9.norm.running_mean"] = tensors[MEAN].clone()


def _longer(tensors: dict[str, Tensor]) -> None:
    tensors[MEAN] = torch.cat([tensors[MEAN], tensors[MEAN][:1]])


def _single_precision(tensors: dict[str, Tensor]) -> None:
    tensors[MEAN] = tensors[MEAN].float()


def _with(name: str, value: float) -> Change:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors[name] = tensors[name].clone()
        tensors[name][3] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_missing, "missing: .*stem_norm.running_mean"),
        (_none_at_all, "stages.0.0.norm1.running_mean.*, 37 more; not expected: none"),
        (_extra, "not expected: .*stages.9.norm.running_mean"),
        (_longer, r"expected torch.float16 \[20\], got torch.float16 \[21\]"),
        (_single_precision, r"expected torch.float16 \[20\], got torch.float32"),
        (_with(MEAN, float("nan")), "means must be finite"),
        (_with(MEAN, float("inf")), "means must be finite"),
        (_with(MEAN, -20_000.0), "within ±10000"),
        (_with(VARIANCE, float("nan")), "variances must be finite and above 0"),
        (_with(VARIANCE, float("inf")), "variances must be finite and above 0"),
        (_with(VARIANCE, 0.0), "variances must be finite and above 0"),
        (_with(VARIANCE, -1.0), "variances must be finite and above 0"),
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
    assert len(list((tmp_path / "store" / "tasks" / "task").iterdir())) == 2


def test_statistics_are_refused_where_nothing_is_normalised(
    network: FrozenNetwork, each_artifact: TaskArtifact
) -> None:
    check_artifact(network, each_artifact)
    tensors = {**each_artifact.tensors, MEAN: torch.zeros(20, dtype=torch.float16)}
    with pytest.raises(InvalidArtifact, match=r"missing: none; not expected: .*stem_norm"):
        check_artifact(network, replace(each_artifact, tensors=tensors))


def test_variance_is_never_rounded_down_to_zero() -> None:
    values = torch.tensor([0.0, 1e-12, 1e-7, 1.0, 60_000.0])
    kept = half_statistics({"n.running_var": values, "n.running_mean": values})
    assert (kept[STATISTICS_PREFIX + "n.running_var"] > 0).all()
    assert torch.equal(kept[STATISTICS_PREFIX + "n.running_var"][2:], values[2:].half())
    assert torch.equal(kept[STATISTICS_PREFIX + "n.running_mean"], values.half())


def test_candidates_are_stacked_in_the_order_given(normalising: FrozenNetwork) -> None:
    kinds = ["coefficients", "coefficients", "supermask"]
    artifacts = [normalised_artifact(normalising, seed, kind) for seed, kind in enumerate(kinds)]
    candidates = normalising.candidates(artifacts)
    assert len(candidates) == 3
    assert torch.equal(candidates.coefficients[1], artifacts[1].coefficients)
    for name, stacked in candidates.statistics.items():
        expected = torch.stack([artifact.statistics[name] for artifact in artifacts])
        assert torch.equal(stacked, expected)
    with pytest.raises(ValueError, match="before those with a supermask"):
        normalising.candidates(artifacts[::-1])
