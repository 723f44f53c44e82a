"""A position: the place of an event in the order of all events."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

from eventstore.errors import InvalidPosition, InvalidRange
from eventstore.limits import TIMESTAMP_MAX_US

_FORMAT: Final = "1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Position(NamedTuple):
    """The place of one event in the order of all events: a total order, compared as a tuple.

    It names no shard, so it stays valid whatever the number of shards becomes.
    """

    timestamp_us: int
    stream_id: str
    event_id: int

    def __str__(self) -> str:
        """Write it as opaque text (URL-safe); `Position.parse` reads it."""
        text = f"{_FORMAT}/{self.timestamp_us}/{self.event_id}/{self.stream_id}"
        return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()

    @classmethod
    def parse(cls, text: str, *, field: str = "after") -> Position:
        """Read what `str(position)` wrote.

        Raises:
            InvalidPosition: it's not a position of this library, or no text.
        """
        if not isinstance(text, str):
            raise InvalidPosition(field, f"has to be a text, not {type(text).__name__}; {_GIVE}")
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
            form, timestamp_us, event_id, stream_id = raw.split("/", 3)
            position = cls(int(timestamp_us), stream_id, int(event_id))
        except (binascii.Error, UnicodeError, ValueError) as error:
            raise InvalidPosition(field, _HOW) from error
        made_here = (
            form == _FORMAT and str(position) == text and 0 <= position.timestamp_us <= TIMESTAMP_MAX_US
        )
        if not made_here:
            raise InvalidPosition(field, _HOW)
        return position


_GIVE: Final = "give one back exactly as it came in `next` or in an event's `position`"
_HOW: Final = f"is not a position; {_GIVE}"


def to_us(time: datetime, *, field: str = "time") -> int:
    """Count the microseconds from 1970 (UTC) to an aware datetime, exactly; before it they are negative.

    Raises:
        InvalidRange: it's no datetime, or has no time zone.
    """
    if not isinstance(time, datetime):
        raise InvalidRange(field, f"has to be an aware datetime, not {type(time).__name__}")
    # As Python has it: also one whose time zone gives no offset is naive.
    if time.utcoffset() is None:
        raise InvalidRange(field, "has no time zone; give an aware datetime, for example in UTC")
    return (time - _EPOCH) // _MICROSECOND


def from_us(timestamp_us: int) -> datetime:
    """Turn microseconds since 1970 (UTC) into an aware datetime in UTC, exactly."""
    return _EPOCH + timestamp_us * _MICROSECOND


def time_text(timestamp_us: int, *, timespec: Literal["microseconds", "seconds"] = "microseconds") -> str:
    """Write microseconds since 1970 (UTC) as RFC 3339 has it, ``2026-01-31T09:30:00.123456Z``."""
    return from_us(timestamp_us).isoformat(timespec=timespec)[:-6] + "Z"
