"""What can be wrong with a store or an artifact. Knows no HTTP.

StoreError
├── StoreNotFound          no manifest where one was looked for
├── StoreExists            a store is there already
├── CorruptStore           manifest, bank or list of segments damaged, or of an unknown version
├── UnknownTask            no task of that name, or no such version of it
├── VersionInUse           a version that is to be dropped, and answers
├── InvalidTaskName        a name outside the stated alphabet, or a reserved one
├── CorruptArtifact        bytes that are no whole artifact, or not what they promise
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
    """Manifest, bank or segments cannot be read, or do not match what is said of them."""


class UnknownTask(StoreError):
    """No task of that name, or no such version of it."""


class VersionInUse(StoreError):
    """A version that is to be dropped is a task's current one, or its canary."""


class InvalidTaskName(StoreError):
    """A task name outside the stated alphabet, or a reserved one."""


class CorruptArtifact(StoreError):
    """Bytes that are no whole artifact, or not those that their hash promises."""


class InvalidArtifact(StoreError):
    """A whole artifact whose shapes or values cannot serve."""


class IncompatibleBackbone(StoreError):
    """An artifact made for other weights, another bank or other inputs."""
