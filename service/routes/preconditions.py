"""`If-Match` and `If-None-Match`: which version of a task a request goes by. Knows no tasks."""

import re
from collections.abc import Mapping
from typing import Literal

from service.errors import MalformedRequest, PreconditionFailed

_LONGEST = 4096
_TAG = re.compile(r'(W/)?(?:"([!#-~]*)"|([!#-+\--~]+))')
"""Quoted as it should be, or bare, as people with curl write it."""

_Tags = Literal["*"] | list[tuple[bool, str]]
"""Any, or these: each with whether it is weak."""


class Preconditions:
    """Of one request, as RFC 9110 has them."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        """Raises `MalformedRequest` where a header is neither `*` nor a list of entity tags."""
        self._match = _tags("If-Match", headers.get("if-match"))
        self._none_match = _tags("If-None-Match", headers.get("if-none-match"))

    def check(self, current: str | None, wanted: str | None = None) -> None:
        """Raise `PreconditionFailed` where a task at that version, None for no task, must not be.

        Where it is at the version that is `wanted` it was done before, and a repeated `If-Match`
        holds.
        """
        done = current is not None and current == wanted
        if not done and self._match is not None and not _holds(self._match, current, strong=True):
            found = "there is no such task" if current is None else f'it is "{current}"'
            raise PreconditionFailed(f"If-Match does not hold: {found}")
        if self._none_match is not None and _holds(self._none_match, current, strong=False):
            raise PreconditionFailed(f'If-None-Match does not hold: the task is "{current}"')

    def unchanged(self, current: str) -> bool:
        """Whether whoever asks to read has that version already."""
        return self._none_match is not None and _holds(self._none_match, current, strong=False)


def _tags(name: str, said: str | None) -> _Tags | None:
    if said is None:
        return None
    if said.strip() == "*":
        return "*"
    tags = []
    if len(said) > _LONGEST:
        raise MalformedRequest(f"{name}: expected at most {_LONGEST} characters, got {len(said)}")
    for one in said.split(","):
        found = _TAG.fullmatch(one.strip())
        if found is None:
            raise MalformedRequest(
                f"{name}: expected * or entity tags in double quotes, got {said[:100]!r}"
            )
        tags.append((found[1] is not None, found[2] if found[3] is None else found[3]))
    return tags


def _holds(tags: _Tags, current: str | None, strong: bool) -> bool:
    if current is None:
        return False
    if isinstance(tags, str):
        return True
    return any(tag == current and not (strong and weak) for weak, tag in tags)
