"""Tags: a few short words that an artifact's record may have, by which tasks are chosen."""

import re
from collections.abc import Iterable
from functools import lru_cache

MOST_TAGS = 16
TAG = "[A-Za-z0-9][A-Za-z0-9._:=/-]{0,63}"
"""No comma, which parts them where several are one text."""

_TAG = re.compile(TAG)


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Each once, in order. Raises `ValueError` where one is no tag, or where they are too many."""
    found = tuple(sorted(set(tags)))
    if len(found) > MOST_TAGS:
        raise ValueError(f"expected {MOST_TAGS} tags or fewer, got {len(found)}")
    for tag in found:
        if not _TAG.fullmatch(tag):
            raise ValueError(
                "a tag of 1 to 64 letters, digits and ._:=/- expected, that begins with a letter "
                f"or digit, got {tag[:80]!r}"
            )
    return found


def joined_tags(tags: Iterable[str]) -> str:
    """As one text, of tags in order."""
    return ",".join(tags)


@lru_cache(maxsize=4096)
def parted_tags(said: str) -> tuple[str, ...]:
    """From one text."""
    return tuple(said.split(",")) if said else ()
