"""Evidence that training makes, on small tasks of real handwriting."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from masked_network.task_evidence import TaskEvidence, strangeness
from masked_network.task_posterior import scores
from model_store.evidence_tensor import EVIDENCE, evidence_of
from model_store.network import FrozenNetwork
from model_store.store import Store
from training.coefficients import CoefficientRecipe
from training.continual import plan_tasks, publish_tasks
from training.evidence import relative_entropies, with_evidence
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.task_streams import TaskStream

STREAM = TaskStream("permuted")
RECIPE = CoefficientRecipe(FitOptions(6, 0.1, 64, 0.5))
TASKS = 3


@pytest.fixture(scope="module")
def store(
    tmp_path_factory: pytest.TempPathFactory, network: FrozenNetwork, digits: ImageSet
) -> Store:
    made = Store.create(tmp_path_factory.mktemp("evidence"), network)
    publish_tasks(made, plan_tasks(digits, STREAM, range(TASKS), lambda _: RECIPE), evidence=True)
    return made


def evidence_of_task(store: Store, index: int) -> TaskEvidence:
    tensor = store.load(STREAM.task_id(index)).tensors[EVIDENCE]
    return evidence_of(tensor.unsqueeze(0), store.network.manifest.preprocessing.row_length)


def test_evidence_and_entropy_name_the_task_of_test_images(store: Store, digits: ImageSet) -> None:
    network = store.network
    for truth in range(TASKS):
        test = STREAM.part(digits, digits.test, truth).rows(torch.arange(16))
        inputs = test.examples(network.manifest.preprocessing).inputs
        likelihoods, entropies, strange = [], [], []
        for task in range(TASKS):
            evidence = evidence_of_task(store, task)
            own = evidence.gaussians.log_likelihoods(network.projected(inputs)).mean(dim=0)
            artifact = store.load(STREAM.task_id(task))
            entropy = relative_entropies(network, artifact, inputs).mean().view(1)
            likelihoods.append(own)
            entropies.append(entropy)
            strange.append(float(strangeness(evidence.own, own, entropy, len(inputs))))
        found = scores(torch.cat(likelihoods), torch.cat(entropies), len(inputs))
        assert int(found.argmax()) == truth
        assert strange[truth] == min(strange)


def test_evidence_leaves_the_rest_of_an_artifact_as_it_is(store: Store, digits: ImageSet) -> None:
    published = store.load(STREAM.task_id(0))
    bare = {name: one for name, one in published.tensors.items() if name != EVIDENCE}
    assert published.record == replace(published, tensors=bare).record
    again = with_evidence(store.network, replace(published, tensors=bare), STREAM.task(digits, 0))
    assert again.content == published.content


def test_evidence_does_not_depend_on_test_data(store: Store, digits: ImageSet) -> None:
    task = STREAM.task(digits, 0)
    blank = replace(task.test, images=torch.zeros_like(task.test.images))
    published = store.load(STREAM.task_id(0))
    assert with_evidence(store.network, published, replace(task, test=blank)).content == (
        published.content
    )


def test_no_evidence_is_made_where_none_is_asked_for(
    tmp_path: Path, network: FrozenNetwork, digits: ImageSet
) -> None:
    made = Store.create(tmp_path / "store", network)
    publish_tasks(made, plan_tasks(digits, STREAM, [0], lambda _: RECIPE))
    assert EVIDENCE not in made.load("permuted-0").tensors
