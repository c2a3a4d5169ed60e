import hashlib
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from model_store.segment_file import (
    DELETED,
    SEGMENT_START,
    Entry,
    Unreadable,
    frame,
    heads_are_whole,
    scan,
)
from model_store.task_names import LONGEST_STORED_NAME, stored_name

CONTENTS = st.lists(st.binary(max_size=300), min_size=1, max_size=5)


def reading(data: bytes) -> Callable[[int, int], bytes]:
    return lambda start, length: data[start : start + length]


def scanned(data: bytes) -> list[Entry | Unreadable]:
    return list(scan(reading(data), 1, len(SEGMENT_START), len(data)))


def segment(contents: list[bytes]) -> bytes:
    """A segment of the tasks task-0, task-1 and so on."""
    frames = [
        frame(f"task-{index}", hashlib.sha256(content).digest(), content)
        for index, content in enumerate(contents)
    ]
    return SEGMENT_START + b"".join(frames)


def whole_content(data: bytes, entry: Entry) -> bytes | None:
    content = data[entry.content_start : entry.content_start + entry.length]
    return content if hashlib.sha256(content).digest() == entry.content_hash else None


@given(CONTENTS)
def test_what_was_framed_is_scanned_in_order(contents: list[bytes]) -> None:
    data = segment(contents)
    found = scanned(data)
    assert [whole_content(data, one) for one in found if isinstance(one, Entry)] == contents
    assert [one.task_id for one in found if isinstance(one, Entry)] == [
        f"task-{index}" for index in range(len(contents))
    ]
    assert found[-1].end == len(data)


def test_deletion_is_an_entry_without_content() -> None:
    (found,) = scanned(SEGMENT_START + frame("a", DELETED, b""))
    assert isinstance(found, Entry)
    assert found.deletes


@given(st.sampled_from([0, 1, 40, 300]))
def test_longest_names_are_found_on_either_side_of_damage(cut: int) -> None:
    longest = stored_name("t" * 32, "x" * 128)
    assert len(longest) == LONGEST_STORED_NAME
    framed = frame(longest, hashlib.sha256(b"content").digest(), b"content")
    data = SEGMENT_START + framed + framed[cut:] + framed
    whole = [one for one in scanned(data) if isinstance(one, Entry)]
    assert {one.task_id for one in whole} == {longest}
    assert [whole_content(data, one) for one in (whole[0], whole[-1])] == [b"content"] * 2


@given(CONTENTS)
def test_cut_at_any_byte_of_the_last_entry_loses_that_one_alone(contents: list[bytes]) -> None:
    data = segment(contents)
    last = scanned(data)[-1]
    for length in range(last.start, len(data)):
        found = scanned(data[:length])
        assert found == scanned(data)[:-1]


@given(CONTENTS, st.integers(0, 2**16), st.integers(1, 255))
def test_flipped_byte_damages_one_task_that_is_named(
    contents: list[bytes], at: int, bits: int
) -> None:
    data = bytearray(segment(contents))
    at = len(SEGMENT_START) + at % (len(data) - len(SEGMENT_START))
    hit = [one.start <= at < one.end for one in scanned(bytes(data))].index(True)
    data[at] ^= bits
    found = scanned(bytes(data))
    assert [one.task_id for one in found if isinstance(one, Entry)] == [
        f"task-{index}" for index in range(len(contents))
    ]
    for index, (one, content) in enumerate(zip(found, contents, strict=True)):
        assert isinstance(one, Entry)
        assert whole_content(bytes(data), one) in ({content, None} if index == hit else {content})
        damaged = whole_content(bytes(data), one) is None
        assert heads_are_whole(bytes(data[one.start : one.end]), one) == (index != hit or damaged)


@given(CONTENTS, st.integers(0, 2**16), st.integers(1, 400))
def test_entries_around_a_damaged_stretch_are_read(
    contents: list[bytes], at: int, length: int
) -> None:
    data = bytearray(segment(contents))
    before = scanned(bytes(data))
    at = len(SEGMENT_START) + at % (len(data) - len(SEGMENT_START))
    end = min(len(data), at + length)
    data[at:end] = bytes(0xA5 ^ (index % 251) for index in range(end - at))
    found = scanned(bytes(data))
    for entry in before:
        if entry.end <= at or entry.start >= end:
            assert entry in found


def test_tail_of_zeros_is_torn_and_other_bytes_are_unreadable() -> None:
    data = segment([b"x"])
    assert scanned(data + bytes(5000)) == scanned(data)
    assert scanned(data + b"?" * 5000)[1:] == [Unreadable(1, len(data), len(data) + 5000)]
