"""A prediction as `POST /v1/predict` answers it in JSON."""

from service.engine.inference.identification import Identification
from service.engine.inference.question import Question
from service.engine.prediction import Prediction
from service.prediction_schemas import (
    CandidateTask,
    EachRowResponse,
    Inference,
    LabelledProbability,
    PredictResponse,
    RowAnswer,
)

_SHOWN_CANDIDATES = 5


def predict_answer(prediction: Prediction, asked: Question) -> bytes:
    """The answer's bytes, to what was asked of task inference."""
    top = _SHOWN_CANDIDATES if asked.top is None else asked.top
    answer: PredictResponse | EachRowResponse
    if prediction.each:
        answer = EachRowResponse(rows=[_of_one_row(one, top) for one in prediction.each])
    else:
        answer = _of_all_rows(prediction, top)
    return answer.model_dump_json(exclude_unset=True).encode()


def _of_all_rows(prediction: Prediction, top: int) -> PredictResponse:
    task, probabilities = prediction.task, prediction.probabilities
    if task is None or probabilities is None:
        answer = PredictResponse(task=None, version=None, predictions=None)
    else:
        best = probabilities.argmax(axis=1)
        labelled = [
            LabelledProbability(label=task.classes[index], probability=float(row[index]))
            for index, row in zip(best, probabilities, strict=True)
        ]
        answer = PredictResponse(task=task.name, version=task.version, predictions=labelled)
    if prediction.identification is not None:
        answer.inference = _inference(prediction.identification, top, abstained=task is None)
    return answer


def _of_one_row(prediction: Prediction, top: int) -> RowAnswer:
    assert prediction.identification is not None
    task, probabilities = prediction.task, prediction.probabilities
    inference = _inference(prediction.identification, top, abstained=task is None)
    if task is None or probabilities is None:
        return RowAnswer(task=None, version=None, label=None, probability=None, inference=inference)
    best = int(probabilities[0].argmax())
    return RowAnswer(
        task=task.name,
        version=task.version,
        label=task.classes[best],
        probability=float(probabilities[0, best]),
        inference=inference,
    )


def _inference(identification: Identification, top: int, abstained: bool) -> Inference:
    best = zip(identification.candidates[:top], identification.probabilities, strict=False)
    return Inference(
        method=identification.method,
        rows=identification.rows,
        entropy_nats=identification.best.entropy_nats,
        margin_nats=identification.margin_nats,
        confidence=identification.confidence,
        strangeness=identification.strangeness,
        candidates=[
            CandidateTask(
                task=one.task.name, probability=probability, entropy_nats=one.entropy_nats
            )
            for one, probability in best
        ],
        abstained=abstained,
    )
