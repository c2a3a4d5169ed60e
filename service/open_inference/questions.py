"""What a request of the Open Inference Protocol asks of task inference, in its parameters."""

from collections.abc import Mapping

from model_store.task_tags import checked_tags
from service.engine.inference.identification import METHODS, Method
from service.engine.inference.question import LONGEST_SESSION_NAME, Question, Session
from service.engine.registry.selection import Selection
from service.errors import InvalidInput
from service.open_inference.tensors import refuse

_SEQUENCE = ("sequence_id", "sequence_start", "sequence_end")
QUESTION = (*_SEQUENCE, "method", "tags", "prefix")
"""Parameters of meaning where the task is inferred: the protocol's sequence, and this service's."""

_LONGEST_PREFIX = 128


def question_of(parameters: Mapping[str, object]) -> Question:
    """The question in a request's parameters, of which others are passed over.

    Raises `InvalidInput`.
    """
    method = _method(parameters.get("method", "auto"))
    among = Selection(_tags(parameters.get("tags", "")), _prefix(parameters.get("prefix", "")))
    return Question(method=method, among=among, session=session_of(parameters))


def session_of(parameters: Mapping[str, object]) -> Session | None:
    """The protocol's sequence in a request's parameters; id 0 and an empty one are none.

    Raises `InvalidInput`.
    """
    number, start, end = _SEQUENCE
    said = parameters.get(number)
    if said is None or (said in (0, "") and said is not False):
        return None
    if isinstance(said, bool) or not isinstance(said, int | str):
        refuse("parameters.sequence_id", "a number or a string", said)
    name = str(said)
    if len(name) > LONGEST_SESSION_NAME:
        refuse("parameters.sequence_id", f"{LONGEST_SESSION_NAME} characters at most", name)
    ends = [parameters.get(name, False) for name in (start, end)]
    if not all(isinstance(one, bool) for one in ends):
        refuse("parameters", "sequence_start and sequence_end of true or false", ends)
    return Session(name, *map(bool, ends))


def _method(said: object) -> Method:
    for method in METHODS:
        if method == said:
            return method
    refuse("parameters.method", f"one of {', '.join(METHODS)}", said)


def _tags(said: object) -> tuple[str, ...]:
    if not isinstance(said, str):
        refuse("parameters.tags", "tags, comma-separated", said)
    try:
        return checked_tags(said.split(",")) if said else ()
    except ValueError as error:
        raise InvalidInput(f"parameters.tags: {error}") from None


def _prefix(said: object) -> str:
    if not isinstance(said, str) or len(said) > _LONGEST_PREFIX:
        refuse("parameters.prefix", f"a text of {_LONGEST_PREFIX} characters at most", said)
    return said
