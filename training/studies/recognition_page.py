"""A recognition study's part of the page: tables, figures and claims from what was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from training.studies.claims import Claim, at_least, at_most
from training.studies.ledger import Got
from training.studies.recognition_figures import by_rows, named_figure, reliability_figure
from training.studies.study import Section
from training.studies.tables import markdown_table
from training.task_namers import EVERY_ENTROPY

MOST_EVIDENCE_BYTES = 512
MOST_CONFIDENCE_ERROR = 0.05
FALSE_ACCEPTANCE = "0.1"
LEAST_REFUSED, MOST_REFUSED = 0.9, 0.05
REFUSED_FROM = "16"

SIGNALS = ("entropy", "evidence", "auto")

EXPLAINED = """*entropy* is that of every task's own answers; *evidence* the likelihood of inputs
under what each task brought; *auto*, the service's way, adds up both. Beside them SupSup's one-shot
and binary on dedicated masks of the same tasks (`score >= 0`, RMSProp 1e-4, 1000 batches, 100
outputs). *Accuracy* is the share of rows whose class is right by the network of the task named."""


REFUSED = """Shares that are refused at the service's limits, which the rate of false acceptance
asks for; *fitted* are those that held-out rows and the unregistered tasks' would ask for:"""


@dataclass(frozen=True)
class Bounds:
    """What is claimed of a study, by number of rows; shares of trials."""

    named: Mapping[str, float] = field(default_factory=dict)
    above_masks: Mapping[str, float] = field(default_factory=dict)
    """How much more often than by the best of one-shot and binary on dedicated masks."""
    refuses: bool = False


def recognition_section(
    name: str,
    title: str,
    bounds: Bounds,
    got: Got | None,
    masks: Got | None,
    machines: frozenset[str],
) -> Section:
    """The section, of what the ledger holds so far."""
    claims = _claims(name, bounds, got, masks)
    if got is None:
        return Section(f"{EXPLAINED}\n\nNot measured.", claims)
    tables = [EXPLAINED, f"{got['tasks']} tasks.", _named_table(got, masks), _refused_table(got)]
    tables.append(_entropy_words(got))
    figures = {
        f"{name}-named.png": named_figure(title, got, masks),
        f"{name}-reliability.png": reliability_figure(f"{title}: reliability", got),
    }
    shown = [f"![{title}]({file})" for file in figures]
    sizes = f"Evidence: {got['evidence_bytes']} bytes a task; whole files {got['file_bytes']:,.0f}"
    if masks is not None:
        sizes += f", of a dedicated mask {masks['file_bytes']:,.0f}"
    return Section("\n\n".join([*tables, f"{sizes}.", *shown]), claims, figures, machines)


def _named_table(got: Got, masks: Got | None) -> str:
    rows = []
    for count, found in by_rows(got):
        for way in SIGNALS:
            error = f"{found['confidence_error']:.3f}" if way == "auto" else ""
            rows.append(_line(count, way, found, way, error))
        if masks is not None and count in masks["by_rows"]:
            of_masks = masks["by_rows"][count]
            rows += [_line(count, f"masks: {way}", of_masks, way, "") for way in of_masks["named"]]
            rows.append(_given(count, "masks: task given", of_masks))
        rows.append(_given(count, "task given", found))
    return markdown_table(("rows", "by", "task named", "accuracy", "error of confidence"), rows)


def _line(count: str, shown: str, found: Got, way: str, error: str) -> Sequence[str]:
    return (count, shown, f"{found['named'][way]:.2%}", f"{found['accuracy'][way]:.4f}", error)


def _given(count: str, shown: str, found: Got) -> Sequence[str]:
    return (count, shown, "", f"{found['accuracy']['given']:.4f}", "")


def _refused_table(got: Got) -> str:
    first = next(iter(got["by_rows"].values()))["refused"]
    kinds = [name for name in first[FALSE_ACCEPTANCE] if name not in ("limit", "fitted")]
    rows = [
        (
            rows,
            rate,
            *(f"{one[limit]:.2f}" for limit in ("limit", "fitted")),
            *(f"{one[kind]:.1%}" for kind in kinds),
        )
        for rows, found in by_rows(got)
        for rate, one in found["refused"].items()
    ]
    head = ("rows", "false acceptance asked for", "limit", "fitted", *kinds)
    return f"{REFUSED}\n\n" + markdown_table(head, rows)


def _entropy_words(got: Got) -> str:
    first, many = (got["by_rows"][count]["named"] for count in ("1", "128"))
    return (
        f"By the entropy alone the task is named from one row in {first['entropy']:.1%} of trials "
        f"and from 128 in {many['entropy']:.1%}; by evidence alone in {first['evidence']:.1%} and "
        f"{many['evidence']:.1%}. Entropy needs no bytes and tells tasks whose networks are unsure "
        "of each other's inputs; it says little where a neighbour's inputs are almost a task's own."
    )


def _claims(name: str, bounds: Bounds, got: Got | None, masks: Got | None) -> list[Claim]:
    def found(count: str) -> Got | None:
        return None if got is None else got["by_rows"][count]

    def named(count: str) -> float | None:
        one = found(count)
        return None if one is None else float(one["named"]["auto"])

    def above(count: str) -> float | None:
        ours = named(count)
        if ours is None or masks is None:
            return None
        ways: Mapping[str, float] = masks["by_rows"][count]["named"]
        theirs = max(share for way, share in ways.items() if way != EVERY_ENTROPY)
        return round(ours - theirs, 5)

    claims = [
        at_least(f"{name}: auto names the task from {count} rows", named(count), bound, "share")
        for count, bound in bounds.named.items()
    ]
    claims += [
        at_least(
            f"{name}: auto from {count} rows above one-shot and binary on dedicated masks",
            above(count),
            bound,
            "share",
        )
        for count, bound in bounds.above_masks.items()
    ]
    one = found("1")
    error = None if one is None else round(float(one["confidence_error"]), 5)
    claims.append(
        at_most(f"{name}: error of confidence, 1 row", error, MOST_CONFIDENCE_ERROR, "share")
    )
    if bounds.refuses:
        claims += _refusing(name, found(REFUSED_FROM))
    size = None if got is None else got["evidence_bytes"]
    claims.append(at_most(f"{name}: evidence of a task", size, MOST_EVIDENCE_BYTES, "bytes"))
    return claims


def _refusing(name: str, found: Got | None) -> list[Claim]:
    shares = {} if found is None else found["refused"][FALSE_ACCEPTANCE]
    where = f"from {REFUSED_FROM} rows, refused of"
    claims = [
        at_least(f"{name}: {where} {kind}", shares.get(kind), LEAST_REFUSED, "share")
        for kind in ("unregistered", "noise", "empty")
    ]
    registered = shares.get("registered")
    return [*claims, at_most(f"{name}: {where} registered", registered, MOST_REFUSED, "share")]
