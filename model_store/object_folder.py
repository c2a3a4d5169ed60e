"""Files under a prefix of an object store. Knows nothing of what their bytes mean.

What is put is there whole, and can be made to depend on what was there before; nothing is locked or
appended to. Every failure of the store or the way to it is an `OSError`.
"""

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from model_store.files import Part, Stamp
from model_store.read_ahead import ReadAhead
from model_store.shared_files import Version

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode, UpdateVersion
    from obstore.store import ObjectStore


def object_folder(url: str) -> "ObjectFolder":
    """Of s3://bucket/prefix, with the credentials and endpoint that AWS's variables say."""
    # An endpoint that is named with http:// is meant so; without one all is TLS.
    objects = S3Store.from_url(
        url,
        client_options={"allow_http": True, "timeout": timedelta(seconds=120)},
        # So that who waits for a store that is down is told so after seconds.
        retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=20)},
    )
    return ObjectFolder(url.rstrip("/"), objects)


class ObjectFolder:
    """Remembers how long segments are: they never change under their name."""

    segments_grow = False

    def __init__(self, url: str, objects: "ObjectStore") -> None:
        self._url = url
        self._objects = objects
        self._stamps: dict[str, Stamp] = {}
        self._ahead = ReadAhead(self._fetch)

    def __str__(self) -> str:
        return self._url

    def read(self, path: str) -> bytes:
        return self.read_version(path)[0]

    def read_version(self, path: str) -> tuple[bytes, Version]:
        with self._failing_as_oserror(path):
            found = obstore.get(self._objects, path)
            tags = {"e_tag": found.meta["e_tag"], "version": found.meta["version"]}
            data = bytes(found.bytes())
        return data, {name: tag for name, tag in tags.items() if tag is not None}

    def read_part(self, path: str, start: int, length: int) -> bytes:
        end = min(start + length, self.size(path))
        if start >= end:
            return b""
        at_hand = self._ahead.read(path, start, end)
        return self._fetch(path, start, end - start) if at_hand is None else at_hand

    def size(self, path: str) -> int:
        return self.stamp(path).size

    def stamp(self, path: str) -> Stamp:
        if not self._stamps:
            # One request for all of them, as they are asked for one after another.
            listed = self._listed(path.rpartition("/")[0])
            self._stamps = {one["path"]: _stamp(one["size"], one["e_tag"]) for one in listed}
        if path not in self._stamps:
            with self._failing_as_oserror(path):
                found = obstore.head(self._objects, path)
            self._stamps[path] = _stamp(found["size"], found["e_tag"])
        return self._stamps[path]

    def write(self, path: str, data: bytes) -> None:
        self._put(path, data, "overwrite")

    def create(self, path: str, data: bytes) -> bool:
        e_tag = self._put(path, data, "create")
        if e_tag is None:
            return False
        self._stamps[path] = _stamp(len(data), e_tag)
        self._ahead.hold(path, data)
        return True

    def replace(self, path: str, data: bytes, version: Version) -> bool:
        return self._put(path, data, cast("UpdateVersion", version)) is not None

    def remove(self, path: str) -> None:
        with self._failing_as_oserror(path):
            obstore.delete(self._objects, path)
        self._stamps.pop(path, None)

    def names(self, folder: str) -> list[str]:
        with self._failing_as_oserror(folder):
            found = obstore.list_with_delimiter(self._objects, folder or None)
        paths = [*(one["path"] for one in found["objects"]), *found["common_prefixes"]]
        return sorted(path.rstrip("/").rpartition("/")[2] for path in paths)

    def ages(self, folder: str) -> dict[str, float]:
        listed = self._listed(folder)
        newest = max((one["last_modified"] for one in listed), default=None)
        return {
            one["path"]: (newest - one["last_modified"]).total_seconds()
            for one in listed
            if newest is not None
        }

    def expect(self, parts: Iterable[Part]) -> None:
        self._ahead.expect(parts)

    def forget(self) -> None:
        self._stamps.clear()

    def _listed(self, folder: str) -> list["ObjectMeta"]:
        with self._failing_as_oserror(folder):
            return list(obstore.list(self._objects, folder or None).collect())

    def _fetch(self, path: str, start: int, length: int) -> bytes:
        with self._failing_as_oserror(path):
            return bytes(obstore.get_range(self._objects, path, start=start, length=length))

    def _put(self, path: str, data: bytes, mode: "PutMode") -> str | None:
        """The tag of what was put; None where the condition did not hold."""
        with self._failing_as_oserror(path):
            try:
                # In one request whatever the size, so that the condition holds for all of it.
                put = obstore.put(self._objects, path, data, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return None
        return put["e_tag"] or ""

    @contextmanager
    def _failing_as_oserror(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, "no such object", f"{self}/{path}") from error
        except BaseError as error:
            said = str(error).partition("\n")[0][:500]
            raise OSError(errno.EIO, f"{self}/{path}: {said}") from error


def _stamp(size: int, e_tag: str | None) -> Stamp:
    # The tag says all; when it was changed no more, so any time does that is long ago.
    return Stamp(size, tuple((e_tag or "").encode()), changed_ns=0)
