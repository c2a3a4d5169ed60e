"""What can be wrong with a request, beside what the store's own errors say. Knows no status codes.

ServiceError
├── MalformedRequest       the body is not what its type promises
├── InvalidInput           understood, but with values that cannot be predicted on
├── UnsupportedMedia       a content type that this route does not take
├── BodyTooLarge           more bytes than the settings allow
├── Saturated              the queue is full; to be tried again
└── StoreUnavailable       the store's disk refused a change; nothing was changed
"""


class ServiceError(Exception):
    """Anything that is wrong with a request."""


class MalformedRequest(ServiceError):
    """The body is not what its type promises: broken JSON, an image that is none."""


class InvalidInput(ServiceError):
    """The request is understood, but its values cannot be predicted on."""


class UnsupportedMedia(ServiceError):
    """A content type that the route does not take."""


class BodyTooLarge(ServiceError):
    """More bytes than the settings allow."""


class StoreUnavailable(ServiceError):
    """The store's disk refused a change: full, read-only, gone. Nothing was changed."""


class Saturated(ServiceError):
    """The queue is full; the request was not begun and may be tried again."""
