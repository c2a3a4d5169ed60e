"""Where a store is: a local folder, or s3://bucket/prefix. Refuses other URLs."""

import re
from pathlib import Path

from model_store.errors import StoreNotFound
from model_store.files import LocalFolder
from model_store.shared_files import SharedFiles

# A Path holds s3:/bucket where s3://bucket was said, which no local folder is ever called.
_URL = re.compile(r"([a-z][a-z0-9]+):/{1,2}(.+)")


def location(store: Path) -> str:
    """The folder, or the URL, as a person would write it."""
    found = _URL.fullmatch(str(store))
    return f"{found[1]}://{found[2]}" if found else str(store)


def is_local(store: Path) -> bool:
    """Whether it is a folder of the local disk."""
    return _URL.fullmatch(str(store)) is None


def files_at(store: Path) -> LocalFolder | SharedFiles:
    """The files there. Raises `StoreNotFound` where it is a URL that cannot be used."""
    if is_local(store):
        return LocalFolder(store)
    url = location(store)
    if not url.startswith("s3://"):
        raise StoreNotFound(f"{url}: expected a folder or s3://bucket/prefix")
    try:
        from model_store.object_folder import object_folder
    except ModuleNotFoundError as error:
        raise StoreNotFound(f"{url}: needs `pip install 'impress[objects]'`: {error}") from error
    return object_folder(url)
