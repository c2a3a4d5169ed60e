"""What can be wrong with a store or an artifact. Knows no HTTP.

StoreError
├── StoreNotFound          no manifest where one was looked for
├── StoreExists            a store is there already
├── CorruptStore           manifest or bank damaged, or of an unknown version
├── UnknownTask            no task of that name
├── InvalidTaskName        a name outside the stated alphabet, or a reserved one
├── CorruptArtifact        bytes that are no whole artifact or pointer, or not what they promise
├── InvalidArtifact        a whole artifact whose values or shapes cannot serve
└── IncompatibleBackbone   an artifact made for other weights, another bank or other inputs
"""


class StoreError(Exception):
    """Anything wrong with a store, a task in it, or an artifact meant for it."""


class StoreNotFound(StoreError):
    """There is no manifest where a store was expected."""


class StoreExists(StoreError):
    """A store is there already and is never overwritten."""


class CorruptStore(StoreError):
    """The manifest or the bank cannot be read, or does not match its fingerprint."""


class UnknownTask(StoreError):
    """No task of that name."""


class InvalidTaskName(StoreError):
    """A task name outside the stated alphabet, or a reserved one."""


class CorruptArtifact(StoreError):
    """Bytes that are no whole artifact, or not those their name promises; a damaged pointer."""


class InvalidArtifact(StoreError):
    """A whole artifact whose shapes or values cannot serve."""


class IncompatibleBackbone(StoreError):
    """An artifact made for other weights, another bank or other inputs."""
