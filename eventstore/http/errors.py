"""What only a request can get wrong; everything else is in `eventstore.errors`."""

from __future__ import annotations

from collections.abc import Sequence

from eventstore.errors import EventStoreError, InvalidInput


class MalformedJson(InvalidInput):
    """A body that is not JSON text in UTF-8."""


class RepeatedField(InvalidInput):
    """A name that stands twice in one object; which of the two was meant can't be known."""


class UnknownField(InvalidInput):
    """A field that the API does not have; nothing of what was sent is passed over in silence."""


class MissingField(InvalidInput):
    """A field that has to be there."""


class WrongType(InvalidInput):
    """A field of another JSON type than it has to have."""


class UnknownParameter(InvalidInput):
    """A query parameter that the operation does not have."""


class RepeatedParameter(InvalidInput):
    """One query parameter twice."""


class InvalidParameter(InvalidInput):
    """A query parameter with a value that it can't have."""


class UnsupportedHeader(InvalidInput):
    """A header that puts a condition on a request which the operation does not heed."""


class InvalidTime(InvalidInput):
    """A time that is not RFC 3339."""


class RequestError(EventStoreError):
    """A request that no operation can take; nothing was written."""


class NotFound(RequestError):
    """A path that the API does not have."""

    def __init__(self, *, path: str, why: str) -> None:
        super().__init__(f"there is nothing at {path[:200]!r}: {why}")


class MethodNotAllowed(RequestError):
    """A path that the API has, with a method that it hasn't."""

    def __init__(self, *, method: str, path: str, allow: Sequence[str]) -> None:
        super().__init__(f"{path} does not take {method}; use {' or '.join(allow)}")
        self.allow = list(allow)


class UnsupportedMediaType(RequestError):
    """A body that is declared as something else than JSON in UTF-8."""

    def __init__(self, *, header: str, value: str) -> None:
        super().__init__(
            f"the header {header} is {value!r}; send JSON in UTF-8, not compressed, "
            "and say so: content-type: application/json"
        )


class RequestTooLarge(RequestError):
    """A body that is larger than a request may be."""

    def __init__(self, *, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the body has {size_bytes:,} bytes; a request takes {limit_bytes:,}. "
            "Append the events in several calls"
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes
