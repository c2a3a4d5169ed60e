"""What a request asks of task inference, from its query or from its JSON."""

from collections.abc import Mapping

from pydantic import ValidationError

from service.engine.inference.question import PLAIN_QUESTION, Question
from service.errors import InvalidInput
from service.schemas import QuestionFields

_FIELDS = frozenset(QuestionFields.model_fields)


def question_of_query(said: Mapping[str, str]) -> Question:
    """The question in a query's values by name, of which others are passed over.

    Raises `InvalidInput`.
    """
    fields = {name: said[name] for name in _FIELDS & said.keys()}
    if not fields:
        return PLAIN_QUESTION
    try:
        return question(QuestionFields.model_validate_strings(fields))
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"{first['loc'][0]}: {first['msg']}") from None


def question(fields: QuestionFields) -> Question:
    """The question that checked fields are."""
    return Question(fields.method, fields.top, fields.per_row)
