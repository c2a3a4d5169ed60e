"""What `POST /v1/predict` answers, as the documentation shows it."""

from service.engine.inference.identification import Method
from service.schemas import Wire


class LabelledProbability(Wire):
    """One row's answer."""

    label: str
    probability: float


class CandidateTask(Wire):
    """A task that was considered."""

    task: str
    probability: float
    """How probable it is that the rows are this task's, by the evidence that tasks brought and the
    entropies; those that are not listed have the rest."""
    entropy_nats: float
    """Mean over the rows of the entropy of the task's own answer."""


class Inference(Wire):
    """How the task was inferred."""

    method: Method
    rows: int
    """How many it rests on: the request's, and those of its session before it."""
    entropy_nats: float
    """Of the best candidate."""
    margin_nats: float
    """How far the runner-up is behind: by `auto` with evidence in log-odds, else in entropy."""
    confidence: float
    """The probability of the best candidate."""
    strangeness: float | None
    """How far the rows are from what the best candidate knows as its own, in standard deviations;
    null where it brought no evidence, or was not asked for it."""
    candidates: list[CandidateTask]
    """The best, best first: as many as `top` says."""
    abstained: bool
    """True where the margin is below the operator's threshold, or the strangeness above what the
    operator's rate of false acceptance allows of so many rows: there are no predictions then."""


class PredictResponse(Wire):
    """The answer for all rows, in their order."""

    task: str | None
    """Null where the service abstained."""
    version: str | None
    """Content hash of the artifact that answered."""
    predictions: list[LabelledProbability] | None
    inference: Inference | None = None
    """Only where the task was inferred."""


class RowAnswer(Wire):
    """One row's answer, and how its task was inferred; all else is null where that abstained."""

    task: str | None
    version: str | None
    label: str | None
    probability: float | None
    inference: Inference


class EachRowResponse(Wire):
    """The answer where every row was a question of its own, in their order."""

    rows: list[RowAnswer]
