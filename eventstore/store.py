"""The port of the event store, and the words of its appends and reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Reversible, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, Literal, Protocol, cast

from eventstore.errors import InvalidArgument
from eventstore.events import Event, Head, NewEvent
from eventstore.limits import TIMESTAMP_MAX_US
from eventstore.positions import Position, from_us


class Expect(Enum):
    """What an append may expect of its stream when it does not expect one version."""

    ANY = "any"
    """Whatever is there: append behind the last event, whichever that is."""
    EXISTS = "exists"
    """At least one event."""

    def __str__(self) -> str:
        return self.value


ANY: Final = Expect.ANY
EXISTS: Final = Expect.EXISTS

NO_STREAM: Final = 0
"""The version of a stream without events."""

Expected = int | Head | Expect
"""What an append expects of its stream: a version (`NO_STREAM`: no events yet), a `Head`, `ANY`, `EXISTS`."""

ExpectedWord = Literal["any", "exists"]
"""The same as words, which an append takes for `ANY` and `EXISTS`."""


_WORDS: Final = frozenset(expect.value for expect in Expect)


@dataclass(frozen=True, slots=True)
class Append:
    """One stream's part of a transaction."""

    stream_id: str
    events: tuple[NewEvent, ...]
    expected: Expected

    @classmethod
    def of(cls, stream_id: str, events: Sequence[NewEvent], expected: Expected | ExpectedWord) -> Append:
        """Make it of events in their order; one event in place of a sequence counts as a sequence of one.

        The words ``any`` and ``exists`` stand for `ANY` and `EXISTS`.

        Raises:
            InvalidArgument: it's neither; a set, for one, has no order.
        """
        if isinstance(expected, str):
            # Another text is refused with the rest of the append, like any other value.
            expected = Expect(expected) if expected in _WORDS else cast("Expected", expected)
        if isinstance(events, NewEvent):
            return cls(stream_id, (events,), expected)
        if not isinstance(events, Iterable) or isinstance(events, str | bytes | Mapping):
            raise InvalidArgument("events", f"has to be a list of NewEvents, not {type(events).__name__}")
        if isinstance(events, Set) and not isinstance(events, Reversible):
            kind = type(events).__name__
            raise InvalidArgument("events", f"is a {kind}, which has no order; give a list of NewEvents")
        return cls(stream_id, tuple(events), expected)


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append has written: all of its events, under consecutive EventIds."""

    stream_id: str
    events: tuple[Event, ...]
    repeated: bool
    """True when these events had been appended before, by an earlier call with the same uids."""

    @property
    def version(self) -> int:
        """The EventId of the last event of this append."""
        return self.events[-1].event_id

    @property
    def head(self) -> Head:
        """What the next append may expect, without a read."""
        return self.events[-1].head


@dataclass(frozen=True, slots=True)
class AllEvents:
    """The events of all streams in time order, being read; iterate over it once."""

    events: Iterator[Event]
    settled_until_us: int
    """Microseconds since 1970: younger events may still be joined by others before them."""

    def __iter__(self) -> Iterator[Event]:
        return self.events

    @property
    def settled_until(self) -> datetime:
        """`settled_until_us` as an aware datetime (UTC), or the nearest that a datetime can have."""
        return from_us(max(0, min(self.settled_until_us, TIMESTAMP_MAX_US)))


class EventStore(Protocol):
    """An event store: append under a condition, read a stream, read all streams in time order."""

    def append(
        self, stream_id: str, events: Sequence[NewEvent], *, expected: Expected | ExpectedWord
    ) -> Appended:
        """Append 1-100 events to one stream: all of them, under the expected condition, or none.

        Args:
            stream_id: 1-1,024 bytes of UTF-8, no control characters, not beginning with ``$``.
            events: in their order; one item each of at most 400 KB, 4 MB together. Give all of them
                a uid, or none. One event alone counts as a list of it.
            expected: the stream's version (0 = no events yet), a `Head` from an earlier read or
                append, `ANY`, or `EXISTS` (or the words ``any``, ``exists``). A Head is believed: nothing
                is read, so drop all Heads after the table was restored, or an append could leave a gap.
                Only one that is further ahead of the writer's clock than clocks may differ is read and
                compared.

        Returns:
            The events as stored. When an earlier call with the same uids had already written them,
            those (`repeated` is true). Repeat a call with the same uids and the same expectation: then
            it's written once, at any later time. Under another one, a known uid isn't written again by
            what reads where it stands: the event at a bare version, the events in the way, the last
            event at a conflict, the search of `ANY` and `EXISTS`. A Head, or a version behind which
            the event lies deeper, reads nothing of it.

        Raises:
            InvalidInput: a leaf that says what and where; nothing was written.
            VersionConflict: the stream is elsewhere; nothing was written.
            PartlyAppended: some of the events are stored, but not all, one behind the other in this
                order; nothing was written.
            EventUidReused: all are stored, one with another name, payload or metadata; nothing was written.
            StreamGap: the event at the version was deleted by hand, and later ones are there, or one of the
                last events that were read, at each of several reads; nothing was written. That of the version
                is all that's read, and with a Head or version 0 nothing is: a deleted event before or behind
                it isn't noticed here, but by the next load of the stream, `EventStore.head` and ``verify``.
            HeadNotInStream: a Head that is further ahead than clocks may differ isn't an event of the stream:
                it's another store's, or one from before a restore; nothing was written.
            UidNotSearchable: `ANY` or `EXISTS` with uids of your own that aren't among the last
                `UID_SEARCH_MAX_EVENTS` events or `UID_SEARCH_MAX_BYTES`, and may be older; nothing was
                written. A UUIDv7 is looked for only since `UID_SKEW_S` before it was made: made for this
                append, it's refused on a stream that gets more than that many events in that time, 100 a
                second. One that is further
                ahead of the writer's clock than that is refused (InvalidEventUid), whatever is expected.
            TimestampOutOfRange: the writer's clock is behind the year 9999; nothing was written.
            StoreUnavailable: not known whether it was written; repeat it with the same uids and the same
                expectation.

        Cost (DynamoDB, events of <= 1 KB): a `Head` or version 0: 1 request (a `Head` that is ahead of the
        writer's clock: 1 read, 1 RCU more); a version: 1 read (1 RCU)
        more; `ANY`, `EXISTS`: 1 query more (1 RCU, or with uids of your own as many events as are
        searched, see above: for a UUIDv7 of now on a stream without events since, 1 RCU). One event:
        1 WCU + 1 for the index; n events: 2 WCU + 1 for the index each. A conflict: 1 query more; a
        version that isn't there: the same, and 1 read more where later events are. With
        `ANY` or `EXISTS` there's no conflict: each further try is 1 query and 1 write, with pauses.
        """
        ...

    def transact(self, appends: Sequence[Append]) -> tuple[Appended, ...]:
        """Append to several streams: all of it, or nothing; at most 100 events and 4 MB together.

        Args, errors and costs as of `append`; each stream stands in it once. Returns one `Appended`
        for each `Append`, in their order. The clock is read once for all of them: each stream's
        Timestamps begin at that, or at its last one + 1 us where that's higher. When some of the
        appends are stored already and others aren't, it's refused whole (PartlyAppended).
        """
        ...

    def head(self, stream_id: str) -> Head:
        """Return a stream's last version and its Timestamp; version 0 for a stream without events.

        Consistency: strong, for each event. While an append of several events becomes visible it may be one
        of its events, and of those before it some can't be seen yet: the last two events alone are compared.
        An append behind it leaves no gap, and a load up to it waits until all of them are there.

        Raises:
            StreamGap: the event before the last is missing, at each of several reads.

        Cost: 1 query; 1 RCU for each 4 KB of the last two events.
        """
        ...

    def read_stream(
        self,
        stream_id: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        backward: bool = False,
        limit: int | None = None,
        consistent: bool = True,
    ) -> Iterator[Event]:
        """Read the events of one stream in order, page by page as they're asked for.

        Args:
            from_version: the lowest EventId to read.
            to_version: the highest EventId to read; None for the head.
            backward: begin with the highest.
            limit: the number of events to read at most; None for all.
            consistent: False reads at half the cost, and may miss the newest events.

        Raises:
            InvalidStreamId, InvalidRange, InvalidLimit: at once, before anything is read.
            MalformedItem: at the first item that is not an event.
            StreamGap: an event between those that are read is missing, at each of several reads.

        Consistency: strong by default, for each event. Of an append of several events that is just becoming
        visible it may return the first ones, never one behind another that is missing; but it compares
        nothing with what it doesn't read: with `backward` the first event may stand before or behind others
        of that append that can't be seen yet.

        Cost: 1 query for each 1 MB; 1 RCU for each 4 KB (half of it with ``consistent=False``).
        """
        ...

    def read_all(
        self,
        *,
        from_: datetime | None = None,
        to: datetime | None = None,
        after: Position | None = None,
        limit: int | None = None,
        unsettled: bool = False,
    ) -> AllEvents:
        """Read the events of all streams in time order: by (Timestamp, stream id, EventId).

        Args:
            from_: the first Timestamp to read (aware); None for the beginning.
            to: the first Timestamp to leave out (aware); None for now.
            after: go on behind this position, whatever the number of shards was when it was given. One
                with a time to come isn't refused, since an event that a wrong clock has stamped has it:
                nothing is given until then.
            limit: the number of events to read at most; None for all.
            unsettled: also give events younger than the settling time. Others may still appear
                before them: who stores a checkpoint behind such an event can miss those.

        Raises:
            InvalidRange, InvalidLimit: at once, before anything is read.
            MalformedItem: at the first item that is not an event.

        Consistency: eventual. Settled events come complete as long as no writer takes longer than the
        settling time between stamping and writing, and the index lags by less.

        Cost: 1 query a shard for each 1 MB, 0.5 RCU for each 4 KB; with a limit each shard is asked
        for its share of it, then the shards that ran dry for more. Events that share a Timestamp are read
        all together, also by a page that begins among them: their order is known only then. 0.5 RCU each
        30 s for the number of shards. Memory: at most two pages a shard, and the events of one Timestamp.
        """
        ...
