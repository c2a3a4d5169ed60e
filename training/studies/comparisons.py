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
    """That a method comes at least `points` above a mask, at a `share` of its file or less."""
    return [
        points_above(where, measured, method, mask, points),
        bytes_share(where, measured, method, mask, share),
    ]


def points_above(
    where: str, measured: Sequence[Measurement], method: Method, mask: Method, points: float
) -> Claim:
    """That a method comes at least `points` above a mask, on what both were measured on."""
    methods = by_method(measured)
    lead = paired(
        lambda one: 100 * one.accuracy, methods.get(method.name, []), methods.get(mask.name, [])
    )
    return at_least(
        f"{where}: {method.name} above {mask.name}",
        None if lead is None else round(lead, 3),
        points,
        "points of test accuracy",
    )


def bytes_share(
    where: str, measured: Sequence[Measurement], method: Method, mask: Method, share: float
) -> Claim:
    """That a task's file is at most a `share` of a mask's."""
    methods = by_method(measured)
    size, mask_size = (
        mean(lambda one: one.file_bytes, methods.get(name, [])) for name in (method.name, mask.name)
    )
    return at_most(
        f"{where}: file bytes of {method.name} over those of {mask.name}",
        None if size is None or mask_size is None else round(size / mask_size, 4),
        share,
        "share",
    )
