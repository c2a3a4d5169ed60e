"""A claim holds where its bound is met, and never where nothing was measured."""

import json
from dataclasses import replace

import pytest

from training.studies.claims import at_least, at_most, claims_json
from training.studies.comparisons import against
from training.studies.measurement import Measurement
from training.studies.methods import partition, tuned_mask

MASK, COEFFICIENTS = tuned_mask(8), partition(8, 256, "int4")


def measurement(method: str, task: int, accuracy: float, file_bytes: int) -> Measurement:
    return Measurement(
        study="permuted",
        data="mnist",
        task=task,
        purpose="measuring",
        method=method,
        kind="coefficients",
        bank="partition",
        size=256,
        seed=0,
        epochs=8,
        learning_rate=0.2,
        start="randn",
        test_accuracy=accuracy,
        held_out_accuracy=accuracy,
        tensor_bytes=file_bytes,
        file_bytes=file_bytes,
        seconds=1.0,
        curve=(accuracy,),
        machine="a machine",
    )


@pytest.mark.parametrize(("measured", "holds"), [(0.9, True), (0.88, True), (0.87, False)])
def test_a_claim_holds_from_its_bound_on(measured: float, holds: bool) -> None:
    assert at_least("accuracy", measured, 0.88, "share").holds == holds
    assert at_most("error", -measured, -0.88, "share").holds == holds


def test_what_was_not_measured_does_not_hold() -> None:
    (claim,) = json.loads(claims_json([at_most("bytes", None, 0.05, "share")]))
    assert claim == {
        "claim": "bytes",
        "measured": None,
        "bound": 0.05,
        "unit": "share, at most",
        "holds": False,
    }


@pytest.mark.parametrize(
    ("points", "share", "holding"),
    [(-2.0, 0.05, [True, True]), (-1.0, 0.05, [False, True]), (-2.0, 0.04, [True, False])],
)
def test_accuracy_and_bytes_are_claims_of_their_own(
    points: float, share: float, holding: list[bool]
) -> None:
    measured = [
        measurement(MASK.name, 0, 0.97, 30_000),
        measurement(COEFFICIENTS.name, 0, 0.955, 1_500),
    ]
    claims = against("here", measured, COEFFICIENTS, MASK, points, share)
    assert [claim.holds for claim in claims] == holding
    assert [claim.measured for claim in claims] == [-1.5, 0.05]


def test_methods_are_compared_on_the_tasks_that_both_have() -> None:
    measured = [
        measurement(MASK.name, 0, 0.9, 100),
        measurement(MASK.name, 1, 0.1, 100),
        measurement(COEFFICIENTS.name, 0, 0.9, 100),
    ]
    lead, _ = against("here", measured, COEFFICIENTS, MASK, 0.0, 1.0)
    assert lead.measured == 0.0


def test_test_data_that_were_not_read_have_no_accuracy() -> None:
    choosing = replace(measurement(MASK.name, 0, 0.9, 100), test_accuracy=None)
    with pytest.raises(ValueError, match="test data were not read"):
        _ = choosing.accuracy
