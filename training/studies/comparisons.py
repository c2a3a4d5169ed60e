"""Claims of one method against another: points of test accuracy, and the share of its bytes."""

from collections.abc import Sequence

from training.studies.claims import Claim, at_least, at_most
from training.studies.measurement import Measurement, by_method, mean, paired
from training.studies.methods import Method


def against(
    where: str,
    measured: Sequence[Measurement],
    method: Method,
    mask: Method,
    points: float,
    share: float,
) -> list[Claim]:
    """That a method comes at least `points` above a mask, at most at a `share` of its file bytes.

    Accuracies are compared on the tasks and seeds that both were measured on.
    """
    methods = by_method(measured)
    mine, masks = methods.get(method.name, []), methods.get(mask.name, [])
    lead = paired(lambda one: 100 * one.accuracy, mine, masks)
    size, mask_size = (mean(lambda one: one.file_bytes, ones) for ones in (mine, masks))
    measured_share = None if size is None or mask_size is None else round(size / mask_size, 4)
    return [
        at_least(
            f"{where}: {method.name} above {mask.name}",
            None if lead is None else round(lead, 3),
            points,
            "points of test accuracy",
        ),
        at_most(
            f"{where}: file bytes of {method.name} over those of {mask.name}",
            measured_share,
            share,
            "share",
        ),
    ]
