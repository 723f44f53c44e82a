"""Event uids: UUIDs of any version; ours are UUIDv7 (RFC 9562), so that they sort by time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

from eventstore.errors import InvalidEventUid
from eventstore.limits import UID_SKEW_S

_SKEW_US = round(UID_SKEW_S * 1_000_000)


def uuid7(*, now_us: int, random_bytes: Callable[[int], bytes]) -> str:
    """Make a UUIDv7 from a time in microseconds since 1970 and ten random bytes."""
    value = (now_us // 1_000 & (1 << 48) - 1) << 80 | int.from_bytes(random_bytes(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def uuid7_time_us(uid: str) -> int | None:
    """Return when a UUIDv7 was made, in microseconds since 1970; None for any other UUID."""
    value = UUID(uid)
    return (value.int >> 80) * 1_000 if value.version == 7 else None


def stored_since_us(uids: Iterable[str]) -> int:
    """Return the earliest Timestamp that events with these uids can have; 0 when one isn't a UUIDv7.

    It holds for every event that was appended: `check_not_ahead` stood before it, whatever was expected.
    """
    return max(0, min((uuid7_time_us(uid) or 0 for uid in uids), default=0) - _SKEW_US)


def check_not_ahead(uid: str, *, now_us: int, field: str) -> None:
    """Check that the clock which made a UUIDv7 isn't further ahead of ours than `UID_SKEW_S`.

    Raises:
        InvalidEventUid: it is, by how much, and what to do.
    """
    ahead_us = (uuid7_time_us(uid) or 0) - now_us
    if ahead_us > _SKEW_US:
        raise InvalidEventUid(
            field,
            f"is a UUIDv7 of {ahead_us / 1_000_000:,.1f} s from now by our clock; it may be {UID_SKEW_S:g} s "
            "ahead, or a repeat would be searched for where it isn't. Set the clock that makes the uids, or "
            "give UUIDs of another version",
        )


def uid_ahead_s(uid: str, *, timestamp_us: int) -> float:
    """Return how many seconds a stored event's UUIDv7 is later than its Timestamp; 0 where it's searched for.

    No append writes such an event (`check_not_ahead`), and none with ANY or EXISTS finds it.
    """
    ahead_us = (uuid7_time_us(uid) or 0) - timestamp_us
    return ahead_us / 1_000_000 if ahead_us > _SKEW_US else 0.0


_CANONICAL: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_uid(text: str) -> bool:
    """Return whether a text is a UUID as events have it, in capitals or not."""
    return bool(_CANONICAL.fullmatch(text))


def check_uid(uid: str | UUID, *, field: str) -> str:
    """Return a UUID in its canonical form (lower case, with hyphens).

    Raises:
        InvalidEventUid: it's neither a `uuid.UUID` nor a text of that form, in capitals or not.
    """
    if isinstance(uid, UUID):
        return str(uid)
    # Not by UUID(): it passes over braces, signs and spaces, and takes the digits of any script.
    if not isinstance(uid, str) or not _CANONICAL.fullmatch(uid):
        raise InvalidEventUid(field, "is not a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")
    return uid.lower()
