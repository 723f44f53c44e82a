"""The root of the error tree."""

from __future__ import annotations

from typing import Any, Final


class PicklableError(Exception):
    """An error that can be pickled and copied with its text and all of its attributes.

    However it is made: what an exception does by itself, to call the class with its text alone, fails for a
    class that takes other arguments, and a process pool that meets this breaks. So the copy is made without
    a call of ``__init__``. As for every exception, its traceback and its cause stay behind.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how pickle and copy make it again."""
        state: Any = self.__getstate__()
        # Beside the attributes come those of slots, which a class below may have.
        attributes = {**(state[0] or {}), **state[1]} if isinstance(state, tuple) else state
        return _again, (type(self), self.args), attributes


class EventStoreError(PicklableError):
    """Any error that this library raises on purpose."""


class TransientError(EventStoreError):
    """Something is throttled or can't be reached: it passes by itself, and the same again is safe."""


def _again(kind: type[PicklableError], args: tuple[Any, ...]) -> PicklableError:
    error = kind.__new__(kind)
    error.args = args
    return error


# DynamoDB's own names, as its errors and as boto3's methods have them.
_READS: Final = (
    "query",
    "scan",
    "get",
    "batchget",
    "transactget",
    "describe",
    "list",
    "head",
    "read",
    "receive",
)


def is_write(operation: str) -> bool:
    """Return whether an operation, by its name, may change something."""
    return not operation.replace("_", "").lower().startswith(_READS)
