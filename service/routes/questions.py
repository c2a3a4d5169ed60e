"""What a request asks of task inference, from its query or from its JSON."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from service.engine.inference.question import PLAIN_QUESTION, Question, Session
from service.engine.registry.selection import Selection
from service.errors import InvalidInput
from service.schemas import CandidateFields, QuestionFields

_FIELDS = frozenset(QuestionFields.model_fields) - {"candidates"}


def question_of_query(said: Mapping[str, str]) -> Question:
    """The question in a query's values by name, of which others are passed over.

    Raises `InvalidInput`.
    """
    fields = {name: said[name] for name in _FIELDS & said.keys()}
    candidates: dict[str, Any] = {}
    if said.get("tags"):
        candidates["tags"] = said["tags"].split(",")
    if "prefix" in said:
        candidates["prefix"] = said["prefix"]
    if not fields and not candidates:
        return PLAIN_QUESTION
    try:
        asked = QuestionFields.model_validate_strings(fields)
        among = CandidateFields.model_validate(candidates)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{where}: {first['msg']}") from None
    return question(asked.model_copy(update={"candidates": among}))


def question(fields: QuestionFields, in_query: Question = PLAIN_QUESTION) -> Question:
    """The question that checked fields are, and the query's where they do not say.

    Raises `InvalidInput` where they exclude each other.
    """
    said, session = fields.model_fields_set, in_query.session
    if fields.session is not None:
        session = Session(fields.session)
    if session is not None:
        anew, last = session.anew or fields.session_start, session.last or fields.session_end
        session = Session(session.name, anew, last)
    per_row = fields.per_row if "per_row" in said else in_query.per_row
    if session is not None and per_row:
        raise InvalidInput(
            "session: its rows are of one task together, and per_row asks about each by itself"
        )
    return Question(
        fields.method if "method" in said else in_query.method,
        fields.top if "top" in said else in_query.top,
        per_row,
        selection(fields.candidates) if "candidates" in said else in_query.among,
        session,
    )


def selection(fields: CandidateFields) -> Selection:
    """The selection that checked fields are."""
    return Selection(tuple(sorted(set(fields.tags))), fields.prefix)
