"""Event uids: UUIDs of any version; ours are UUIDv7 (RFC 9562), so that they sort by time."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from eventstore.errors import InvalidEventUid


def uuid7(*, now_us: int, random_bytes: Callable[[int], bytes]) -> str:
    """Make a UUIDv7 from a time in microseconds since 1970 and ten random bytes."""
    value = (now_us // 1_000 & (1 << 48) - 1) << 80 | int.from_bytes(random_bytes(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def uuid7_time_us(uid: str) -> int | None:
    """Tell when a UUIDv7 was made, in microseconds since 1970; None for any other UUID."""
    value = UUID(uid)
    return (value.int >> 80) * 1_000 if value.version == 7 else None


def check_uid(uid: str, *, field: str) -> str:
    """Return a UUID in its canonical form (lower case, with hyphens).

    Raises:
        InvalidEventUid: it is not a UUID.
    """
    try:
        return str(UUID(uid))
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidEventUid(field, "is not a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057") from error
