"""Times as callers write them: RFC 3339 with microseconds."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from eventstore.http.errors import InvalidTime

# In a query string a plus sign that was not escaped arrives as a space; before an offset it can't be
# anything else.
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,6})0*)?(?:[Zz]|([-+ ])((?:[01]\d|2[0-3]):[0-5]\d))",
    re.ASCII,
)
_HOW: Final = (
    "is not a time as RFC 3339 has it, to the microsecond at most; write 2026-01-31T09:30:00.123456Z"
)


def parse_time(text: str, *, field: str) -> datetime:
    """Read a time with any offset, exactly to the microsecond.

    Raises:
        InvalidTime: it is not RFC 3339, has no offset, or is finer than a microsecond.
    """
    found = _RFC3339.fullmatch(text)
    if not found:
        raise InvalidTime(field, _HOW)
    date, clock, fraction, sign, offset = found.groups()
    zone = f"{'-' if sign == '-' else '+'}{offset or '00:00'}"
    try:
        return datetime.fromisoformat(f"{date}T{clock}.{(fraction or '').ljust(6, '0')}{zone}")
    except ValueError as error:
        raise InvalidTime(field, f"names no time there is: {error}") from error
