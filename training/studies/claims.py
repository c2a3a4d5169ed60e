"""A bound, what was measured against it, and whether it holds."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

CLAIMS_FILE = "claims.json"


@dataclass(frozen=True)
class Claim:
    """One bound. What was not measured does not hold."""

    claim: str
    measured: float | None
    bound: float
    unit: str
    holds: bool


def at_least(claim: str, measured: float | None, bound: float, unit: str) -> Claim:
    """Holds where as much as the bound was measured; the unit says so."""
    holds = measured is not None and measured >= bound
    return Claim(claim, measured, bound, f"{unit}, at least", holds)


def at_most(claim: str, measured: float | None, bound: float, unit: str) -> Claim:
    """Holds where no more than the bound was measured; the unit says so."""
    holds = measured is not None and measured <= bound
    return Claim(claim, measured, bound, f"{unit}, at most", holds)


def claims_json(claims: Iterable[Claim]) -> bytes:
    """A list of objects, one a claim."""
    return json.dumps([asdict(claim) for claim in claims], indent=2).encode() + b"\n"
