"""A task's evidence in its artifact: optional, counted, and never a number that is none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from masked_network.input_gaussians import fitted_gaussian
from masked_network.task_evidence import TaskEvidence, measured_evidence
from model_store.artifact_layout import LayoutReader
from model_store.compatibility import check_artifact
from model_store.errors import InvalidArtifact
from model_store.evidence_tensor import (
    EVIDENCE,
    evidence_bytes,
    evidence_of,
    kept,
    packed_evidence,
)
from model_store.network import FrozenNetwork
from model_store.store import Store
from model_store.task_artifact import TaskArtifact, parse_artifact
from model_store.verify import verify_store

LENGTH = 784


def evidence(directions: int, seed: int = 1) -> TaskEvidence:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(directions, directions, generator=generator) / directions**0.5
    rows = torch.randn(3000, directions, generator=generator) @ mixing + 0.3
    gaussian = kept(fitted_gaussian(rows[:2000]))
    return measured_evidence(gaussian, rows[2000:], torch.rand(1000, generator=generator))


def with_evidence(network: FrozenNetwork, artifact: TaskArtifact) -> TaskArtifact:
    packed = packed_evidence(evidence(network.directions.shape[1]))
    return replace(artifact, tensors={**artifact.tensors, **packed})


def test_evidence_takes_at_most_512_bytes_of_a_file(
    network: FrozenNetwork, make_artifact: Callable[..., TaskArtifact]
) -> None:
    without = make_artifact(network)
    packed = packed_evidence(evidence(36))
    assert packed[EVIDENCE].shape == (evidence_bytes(LENGTH),)
    grown = replace(without, tensors={**without.tensors, **packed})
    assert grown.tensor_bytes == without.tensor_bytes + evidence_bytes(LENGTH)
    assert len(grown.content) - len(without.content) <= 512


def test_what_is_kept_comes_back_as_it_was() -> None:
    exact = evidence(36)
    found = evidence_of(packed_evidence(exact)[EVIDENCE].unsqueeze(0), LENGTH)
    rows = torch.randn(200, 36, generator=torch.Generator().manual_seed(2)) + 0.3
    torch.testing.assert_close(
        found.gaussians.log_likelihoods(rows), exact.gaussians.log_likelihoods(rows)
    )
    torch.testing.assert_close(
        found.own.likelihood_mean, exact.own.likelihood_mean, atol=0.01, rtol=0
    )
    torch.testing.assert_close(
        found.own.likelihood_deviation, exact.own.likelihood_deviation, atol=0.01, rtol=0
    )
    torch.testing.assert_close(found.own.entropy_mean, exact.own.entropy_mean, atol=0.003, rtol=0)
    torch.testing.assert_close(
        found.own.entropy_deviation, exact.own.entropy_deviation, atol=0.003, rtol=0
    )


def test_gaussian_as_it_is_kept_tells_rows_as_the_exact_one_does() -> None:
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(36, 36, generator=generator) / 6 + torch.eye(36)
    rows = torch.randn(3000, 36, generator=generator) @ mixing + 0.3
    exact = fitted_gaussian(rows)
    own, others = rows[:300], torch.randn(300, 36, generator=generator) + 0.3
    distances = [
        float(one.log_likelihoods(own).mean() - one.log_likelihoods(others).mean())
        for one in (exact, kept(exact))
    ]
    assert distances[1] > 0.75 * distances[0] > 0


def test_tasks_stacked_are_what_each_is_alone() -> None:
    packed = [packed_evidence(evidence(36, seed))[EVIDENCE] for seed in (1, 2, 3)]
    together = evidence_of(torch.stack(packed), LENGTH)
    rows = torch.randn(5, 36, generator=torch.Generator().manual_seed(2))
    for task, one in enumerate(packed):
        alone = evidence_of(one.unsqueeze(0), LENGTH)
        torch.testing.assert_close(
            together.gaussians.log_likelihoods(rows)[:, task],
            alone.gaussians.log_likelihoods(rows)[:, 0],
        )


@given(st.data(), st.sampled_from([1, 8, 72]))
def test_any_bytes_are_evidence_of_finite_numbers(data: st.DataObject, length: int) -> None:
    size = evidence_bytes(length)
    content = bytearray(data.draw(st.binary(min_size=size, max_size=size)))
    found = evidence_of(torch.frombuffer(content, dtype=torch.uint8).unsqueeze(0), length)
    likelihoods = found.gaussians.log_likelihoods(torch.ones(2, max(1, length // 2)))
    assert bool(torch.isfinite(likelihoods).all())
    assert float(found.own.likelihood_deviation) > 0
    assert float(found.own.entropy_deviation) > 0


def test_evidence_comes_back_from_the_store_bit_identical(
    tmp_path: Path, network: FrozenNetwork, each_artifact: TaskArtifact
) -> None:
    artifact = with_evidence(network, each_artifact)
    store = Store.create(tmp_path / "store", network)
    store.publish("task", artifact)
    loaded = Store.open(tmp_path / "store").load("task")
    assert loaded.content == artifact.content
    assert loaded.kind == each_artifact.kind
    assert torch.equal(loaded.tensors[EVIDENCE], artifact.tensors[EVIDENCE])
    assert verify_store(tmp_path / "store").findings == ()


def test_tasks_with_and_without_evidence_have_layouts_of_their_own(
    network: FrozenNetwork, each_artifact: TaskArtifact
) -> None:
    reader = LayoutReader(network)
    grown = with_evidence(network, each_artifact)
    read = [
        reader.read(one.content, bytes.fromhex(one.content_hash))
        for one in (each_artifact, grown, each_artifact)
    ]
    assert read[0].layout is read[2].layout is not read[1].layout
    assert read[1].layout.tensor_bytes == grown.tensor_bytes


def test_bits_beyond_the_last_regression_are_refused() -> None:
    with pytest.raises(ValueError, match="padding bits"):
        evidence_of(torch.full((1, evidence_bytes(4)), 255, dtype=torch.uint8), 4)


def shorter(packed: Tensor) -> Tensor:
    return packed[:-1]


def floats(packed: Tensor) -> Tensor:
    return packed.to(torch.float16)


def matrix(packed: Tensor) -> Tensor:
    return packed.view(1, -1)


@pytest.mark.parametrize("change", [shorter, floats, matrix])
def test_evidence_of_another_form_is_refused(
    network: FrozenNetwork, each_artifact: TaskArtifact, change: Callable[[Tensor], Tensor]
) -> None:
    artifact = with_evidence(network, each_artifact)
    tensors = {**artifact.tensors, EVIDENCE: change(artifact.tensors[EVIDENCE])}
    changed = parse_artifact(replace(artifact, tensors=tensors).content)
    with pytest.raises(InvalidArtifact, match=r"^evidence: expected"):
        check_artifact(network, changed)


def test_tensors_of_stacked_tasks_have_to_fit_the_inputs() -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \[T, 430\]"):
        evidence_of(torch.zeros(2, 429, dtype=torch.uint8), LENGTH)
