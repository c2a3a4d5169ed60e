"""What a strategy finds is held against the method's own functions, on tasks of every kind."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from masked_network.adaptation import AdaptationStart, adapted_coefficients
from masked_network.backbones import forward
from masked_network.composition import compose
from masked_network.task_inference import entropy_nats, one_shot_scores, superfluous_logsumexp
from model_store.network import FrozenNetwork
from model_store.task_artifact import KINDS
from service.engine.inference.by_adapting import MOST_ROWS, balance_of
from service.engine.inference.identification import METHODS, Method
from service.engine.inference.task_identifier import SearchLimits, TaskIdentifier
from service.engine.registry.task_table import RegisteredTask
from service.errors import InvalidInput
from tests.service.artifacts import MakeArtifact, registered
from tests.service.engine.known_inputs import knowing, rows_of

SIX = ("ant", "bee", "cat", "dog", "eel", "fox")


@pytest.fixture
def tasks(network: FrozenNetwork, make_artifact: MakeArtifact) -> tuple[RegisteredTask, ...]:
    kinds = [*KINDS[::-1] * 2, *KINDS[:1] * 3]
    return tuple(
        registered(network, f"task-{seed}", make_artifact(seed, kind))
        for seed, kind in enumerate(kinds)
    )


@pytest.fixture
def known(network: FrozenNetwork, make_artifact: MakeArtifact) -> tuple[RegisteredTask, ...]:
    return tuple(
        registered(network, f"known-{number}", knowing(network, make_artifact(number), number))
        for number in range(6)
    )


def inputs_of(network: FrozenNetwork, rows: np.ndarray) -> torch.Tensor:
    return network.manifest.preprocessing.to_inputs(torch.from_numpy(rows))


def logits_by(network: FrozenNetwork, coefficients: torch.Tensor, rows: np.ndarray) -> np.ndarray:
    composed = compose(network.weights, network.bank, coefficients)
    logits: np.ndarray = forward(network.backbone, composed, inputs_of(network, rows)).numpy()
    return logits


@pytest.mark.parametrize("method", METHODS)
def test_every_method_says_its_name_and_answers_with_a_row_of_logits_for_each(
    network: FrozenNetwork, known: tuple[RegisteredTask, ...], method: Method
) -> None:
    found = TaskIdentifier(network, SearchLimits(4)).identify(known, rows_of(1, 7), method)
    assert found.method == method
    assert found.best.logits.shape == (7, 6)
    assert len(found.probabilities) == len(found.candidates)
    assert len({one.task.task_id for one in found.candidates}) == len(found.candidates)


def test_one_shot_by_g_ranks_by_the_gradient_of_the_superfluous_outputs(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...]
) -> None:
    rows = rows_of(3, 5)
    found = TaskIdentifier(network, SearchLimits(4)).identify(tasks, rows, "one-shot-g")
    ordered = sorted(tasks, key=lambda task: KINDS.index(task.kind))
    scores = one_shot_scores(
        network.backbone,
        network.weights,
        network.bank,
        network.candidates(ordered),
        inputs_of(network, rows),
        4,
        superfluous_logsumexp,
    )
    best = [ordered[index] for index in scores.topk(4).indices.tolist()]
    assert [one.task for one in found.candidates] == best


def test_one_shot_by_g_is_refused_where_a_task_has_a_class_for_every_output(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], make_artifact: MakeArtifact
) -> None:
    full = registered(network, "full", make_artifact(9, classes=SIX))
    with pytest.raises(InvalidInput, match="uses every output"):
        TaskIdentifier(network, SearchLimits(4)).identify(
            (*tasks, full), rows_of(3, 5), "one-shot-g"
        )


def test_exhaustive_takes_no_more_answers_than_it_may(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...]
) -> None:
    identifier = TaskIdentifier(network, SearchLimits(2, exhaustive_rows=5 * len(tasks)))
    found = identifier.identify(tasks, rows_of(3, 5), "exhaustive")
    assert len(found.candidates) == len(tasks)
    with pytest.raises(InvalidInput, match=f"6 rows of {len(tasks)} tasks"):
        identifier.identify(tasks, rows_of(3, 6), "exhaustive")


@pytest.mark.parametrize("count", [3, MOST_ROWS + 9])
def test_adapt_answers_by_coefficients_that_are_surer_of_the_rows_and_names_the_nearest_task(
    network: FrozenNetwork, known: tuple[RegisteredTask, ...], count: int
) -> None:
    rows, identifier = rows_of(2, count), TaskIdentifier(network, SearchLimits(4))
    auto, found = (identifier.identify(known, rows, method) for method in ("auto", "adapt"))
    assert auto.confidence > 0.999
    assert found.best.task is auto.best.task is known[2]
    start = AdaptationStart(network.coefficients(known[2]), 4)
    adapted = adapted_coefficients(
        network.backbone,
        network.weights,
        network.bank,
        start,
        inputs_of(network, rows[:MOST_ROWS]),
        balance=balance_of(min(count, MOST_ROWS), 4),
    )
    assert np.allclose(found.best.logits, logits_by(network, adapted, rows), atol=1e-2)
    own = entropy_nats(torch.from_numpy(found.best.logits[:, :4])).mean()
    assert found.best.entropy_nats == pytest.approx(float(own), rel=1e-5)
    assert found.best.entropy_nats < auto.best.entropy_nats
    assert found.margin_nats == auto.margin_nats
    assert found.strangeness is None
    assert found.probabilities == auto.probabilities


def test_adapting_to_more_rows_keeps_their_answers_the_more_apart() -> None:
    assert balance_of(1, 9) == pytest.approx(0.1)
    balances = [balance_of(rows, 9) for rows in range(1, 200)]
    assert balances == sorted(balances)
    assert max(balances) < 1


def test_adapt_names_only_tasks_whose_coefficients_it_began_at(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    masked, composed = (
        registered(network, kind, knowing(network, make_artifact(number, kind), number))
        for number, kind in enumerate(("supermask", "coefficients"))
    )
    identifier = TaskIdentifier(network, SearchLimits(4))
    found = identifier.identify((composed, masked), rows_of(0, 8), "adapt")
    assert [one.task for one in found.candidates] == [composed, masked]
    assert found.probabilities[0] < 0.01
    with pytest.raises(InvalidInput, match="begins at tasks of coefficients"):
        identifier.identify((masked,), rows_of(0, 8), "adapt")


def test_adapt_begins_between_tasks_that_are_alike(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    twins = tuple(registered(network, f"twin-{n}", make_artifact(n)) for n in range(2))
    rows = rows_of(1, 8)
    identifier = TaskIdentifier(network, SearchLimits(4))
    auto, found = (identifier.identify(twins, rows, method) for method in ("auto", "adapt"))
    start = sum(
        probability * network.coefficients(one.task)
        for one, probability in zip(auto.candidates, auto.probabilities, strict=True)
    )
    assert isinstance(start, torch.Tensor)
    adapted = adapted_coefficients(
        network.backbone,
        network.weights,
        network.bank,
        AdaptationStart(start, 4),
        inputs_of(network, rows),
        balance=balance_of(8, 4),
    )
    assert np.allclose(found.best.logits, logits_by(network, adapted, rows), atol=1e-3)


def test_methods_that_are_not_to_be_had_are_refused(
    network: FrozenNetwork, known: tuple[RegisteredTask, ...]
) -> None:
    methods: Sequence[Method] = ("auto", "short-list")
    identifier = TaskIdentifier(network, SearchLimits(4, methods=methods))
    for method in METHODS:
        if method in methods:
            assert identifier.identify(known, rows_of(1, 2), method).method == method
            continue
        for identify in (identifier.identify, identifier.identify_each):
            with pytest.raises(InvalidInput, match="searches by auto, short-list, not by"):
                identify(known, rows_of(1, 2), method)


@pytest.mark.parametrize(("method", "count"), [("adapt", 1), ("one-shot", 65), ("binary", 65)])
def test_rows_by_themselves_are_refused_where_each_would_take_long(
    network: FrozenNetwork, known: tuple[RegisteredTask, ...], method: Method, count: int
) -> None:
    with pytest.raises(InvalidInput, match="per_row"):
        TaskIdentifier(network, SearchLimits(4)).identify_each(known, rows_of(1, count), method)
