"""What can be wrong with a request, beside what the store's own errors say. Knows no status codes.

ServiceError
├── MalformedRequest       the body is not what its type promises
├── InvalidInput           understood, but with values that cannot be predicted on
├── Unauthenticated        no key, or none that is good
├── Forbidden              a good key, without the scope for this
│   └── TooManyTasks       with it, and as many tasks as it may publish
├── QuotaExceeded          a good key, which has asked for all that it may for now
├── NotHere                served on another port
├── UnsupportedMedia       a content type that this route does not take
├── BodyTooLarge           more bytes than the settings allow
├── PreconditionFailed     the task is not at the version that the request goes by
├── StaysLoaded            a task that is to be unloaded: none ever is
├── DeadlinePassed         the request's own time was over before its answer was there
├── CallerLeft             nobody is there any more to be answered
└── Unavailable            not now; to be tried again
    ├── Saturated          the queue is full
    ├── WouldBeLate        the answer would come after the request's deadline
    ├── ShuttingDown       the service is stopping
    └── StoreUnavailable   the store's disk refused a change; nothing was changed
"""


class ServiceError(Exception):
    """Anything that is wrong with a request."""


class MalformedRequest(ServiceError):
    """The body is not what its type promises: broken JSON, an image that is none."""


class InvalidInput(ServiceError):
    """The request is understood, but its values cannot be predicted on."""


class Unauthenticated(ServiceError):
    """No key was presented, or none that is good."""


class Forbidden(ServiceError):
    """The key is good, and has none of the scopes that this asks for."""


class TooManyTasks(Forbidden):
    """There are as many tasks as the key may publish; replacing one is allowed."""


class QuotaExceeded(ServiceError):
    """The key has asked for all that it may; more can be had after `retry_after_seconds`."""

    def __init__(self, said: str, retry_after_seconds: float) -> None:
        super().__init__(said)
        self.retry_after_seconds = retry_after_seconds


class NotHere(ServiceError):
    """What runs the service has a port of its own, and this is another."""


class UnsupportedMedia(ServiceError):
    """A content type that the route does not take."""


class BodyTooLarge(ServiceError):
    """More bytes than the settings allow."""


class PreconditionFailed(ServiceError):
    """The task is not at the version that the request said it must be, or is there already."""


class StaysLoaded(ServiceError):
    """A task serves from memory for as long as the store has it."""


class DeadlinePassed(ServiceError):
    """The request's own time was over before its answer was there."""


class CallerLeft(ServiceError):
    """The caller closed the connection before the answer was there."""


class Unavailable(ServiceError):
    """The request was not begun and may be tried again, best after `retry_after_seconds`."""

    def __init__(self, said: str, retry_after_seconds: float = 1) -> None:
        super().__init__(said)
        self.retry_after_seconds = retry_after_seconds


class Saturated(Unavailable):
    """The queue is full."""


class WouldBeLate(Unavailable):
    """By what batches took so far, the answer would come after the request's deadline."""


class ShuttingDown(Unavailable):
    """The service is stopping; another instance, or the next one, may answer."""


class StoreUnavailable(Unavailable):
    """The store's disk refused a change: full, read-only, gone. Nothing was changed."""
