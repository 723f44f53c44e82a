"""Repeated appends: known by their uids wherever a stream is read, and compared with what is stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from eventstore._backoff import Backoff
from eventstore._uids import stored_since_us
from eventstore.errors import EventUidReused, PartlyAppended, UidNotSearchable
from eventstore.events import Event, Head, NewEvent
from eventstore.limits import UID_SEARCH_MAX_BYTES, UID_SEARCH_MAX_EVENTS
from eventstore.positions import from_us
from eventstore.store import Append

_LOOKS: Final = 5
"""Further looks at a transaction that is seen in part, within 0.3 to 0.6 s."""
_BACKOFF: Final = Backoff(0.02, longest_s=0.5)

ReadRange = Callable[[str, int, int], Iterable[Event]]
"""Reads the events of a stream from one version to another, strongly consistent."""


@dataclass(slots=True)
class Wanted:
    """An append to be made, and what was seen of it on the way: events that are stored already."""

    append: Append
    uids: Sequence[str]
    """The uids of its events: the writer's, or those that the store has made for this call."""
    head: Head | None = None
    """Where it would go, once that's known."""
    seen: dict[int, Event] = field(default_factory=dict)
    """Events with its uids, by their EventIds."""

    @property
    def has_given_uids(self) -> bool:
        """Whether the uids are the writer's own: all of them are, or none."""
        return self.append.events[0].uid is not None

    def look_at(self, event: Event) -> None:
        """See whether an event that was read is one of its own."""
        if event.uid in self.uids:
            self.seen[event.event_id] = event

    def search(self, backward: Iterable[Event], *, size_bytes: Callable[[str, Event], int]) -> None:
        """Look at a stream's events from its head back, until the uids are found or ruled out.

        Args:
            size_bytes: how large an event of a stream is.

        Raises:
            UidNotSearchable: neither, after `UID_SEARCH_MAX_EVENTS` events or `UID_SEARCH_MAX_BYTES`.
        """
        oldest_us, looked_bytes = stored_since_us(self.uids), 0
        for looked, event in enumerate(backward, start=1):
            self.head = self.head or event.head
            self.look_at(event)
            if self.seen or event.timestamp_us < oldest_us or event.event_id == 1:
                return
            looked_bytes += size_bytes(event.stream_id, event)
            if looked == UID_SEARCH_MAX_EVENTS or looked_bytes >= UID_SEARCH_MAX_BYTES:
                since = from_us(oldest_us) if oldest_us else None
                raise UidNotSearchable(stream_id=self.append.stream_id, limit=looked, since=since)
        self.head = self.head or Head(self.append.stream_id, 0, 0)

    def whole(self) -> tuple[Event, ...] | None:
        """Return its stored events when all were seen, one behind the other and in its order."""
        for first_id in self.seen:
            found = [self.seen.get(first_id + index) for index in range(len(self.uids))]
            events = tuple(event for event in found if event)
            if [event.uid for event in events] == list(self.uids):
                return events
        return None

    def look_around(self, read: ReadRange) -> None:
        """Read the versions between which all of it stands, if it's one behind the other."""
        for event in read(self.append.stream_id, *self._around()):
            self.look_at(event)

    def _around(self) -> tuple[int, int]:
        if self.seen:
            one, others = next(iter(self.seen)), len(self.uids) - 1
            return max(1, one - others), one + others
        version = self.head.version if self.head else 0
        return version + 1, version + len(self.uids)


def want(appends: Iterable[Append], *, new_uid: Callable[[], str]) -> list[Wanted]:
    """Begin a transaction: each append with its uids, made here where the writer gave none.

    Made once for all tries of a call, so that a write whose answer got lost is known by them.
    """
    return [Wanted(append, [event.uid or new_uid() for event in append.events]) for append in appends]


def is_seen(wanted: Iterable[Wanted]) -> bool:
    """Return whether an event of a transaction was seen."""
    return any(one.seen for one in wanted)


def settle(wanted: Sequence[Wanted], read: ReadRange) -> list[tuple[Event, ...]]:
    """Return the stored events of a transaction of which some were seen, when all of it was made before.

    Raises:
        PartlyAppended: some events are stored, and others aren't, or not in this order.
        EventUidReused: all are stored, one of them with other content.

    Cost: nothing where all events were seen; else one query for each stream.
    """
    for one in wanted:
        if one.whole() is None:
            one.look_around(read)
    stored = [events for one in wanted if (events := one.whole())]
    if len(stored) < len(wanted):
        raise _partly(wanted)
    for one, events in zip(wanted, stored, strict=True):
        for new, event in zip(one.append.events, events, strict=True):
            _check_same(new, event)
    return stored


def _partly(wanted: Sequence[Wanted]) -> PartlyAppended:
    found = {event.uid: event.event_id for one in wanted for event in one.seen.values()}
    stream_id = next(one.append.stream_id for one in wanted if one.seen)
    return PartlyAppended(stream_id=stream_id, stored=found)


def settle_visible(
    wanted: Sequence[Wanted],
    read: ReadRange,
    *,
    sleep: Callable[[float], object],
    jitter: Callable[[], float],
) -> list[tuple[Event, ...]]:
    """Settle a transaction, and look again where it's seen in part: it may be just becoming visible.

    Raises:
        PartlyAppended, EventUidReused: as of `settle`; the first after 6 looks within 0.3 to 0.6 s.

    Cost: as of `settle`, for each look.
    """
    for looks in range(1, _LOOKS + 1):
        try:
            return settle(wanted, read)
        except PartlyAppended:
            sleep(visible_pause_s(looks, jitter=jitter()))
    return settle(wanted, read)


def visible_pause_s(tries: int, *, jitter: float) -> float:
    """Return the seconds in which a transaction may become visible, after so many tries to see it whole.

    Half of them without any jitter: with all of them, some callers would not have waited at all.
    """
    return _BACKOFF.pause_s(tries, jitter=(1 + jitter) / 2)


def _check_same(new: NewEvent, stored: Event) -> None:
    for differs, same in (
        ("name", new.name == stored.name),
        ("payload", _same_json(new.payload, stored.payload)),
        ("metadata", _same_json(new.metadata, stored.metadata)),
    ):
        if not same:
            raise EventUidReused(
                stream_id=stored.stream_id, event_id=stored.event_id, uid=stored.uid, differs=differs
            )


def _same_json(text: str, other: str) -> bool:
    if text == other:
        return True
    try:
        return bool(_parse(text) == _parse(other))
    except (ValueError, RecursionError):
        return False  # what is stored was written by hand, and isn't JSON as the store takes it


def _number(text: str) -> tuple[bool, str, int]:
    """Make a number comparable: sign, digits and exponent, exact at any length and size."""
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.removeprefix("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return False, "", 0
    significant = digits.rstrip("0")
    shift = len(digits) - len(significant) - len(fraction)
    return mantissa.startswith("-"), significant, int(exponent or "0") + shift


def _members(pairs: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Make an object comparable: its order doesn't count, but that of members with one name does."""
    members: dict[str, list[Any]] = {}
    for name, value in pairs:
        members.setdefault(name, []).append(value)
    return members


_parse: Final = partial(json.loads, parse_int=_number, parse_float=_number, object_pairs_hook=_members)
