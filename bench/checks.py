"""What the benchmarks compute and check: how late it was, and whether all of it came, in order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

Address = tuple[str, int]
"""An event's stream and EventId."""

FAULTS_TOLD: Final = 10
"""Faults of one kind that are told one by one; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """How late something was, in milliseconds; a percentile is a delay that was measured (nearest rank)."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, delays_us: Iterable[int]) -> Delays:
        """Sum up delays in microseconds.

        Raises:
            ValueError: there are none.
        """
        ordered = sorted(delays_us)
        if not ordered:
            raise ValueError("there are no delays to sum up")

        def percentile_ms(percent: int) -> float:
            return ordered[ceil(len(ordered) * percent / 100) - 1] / 1_000

        return cls(
            count=len(ordered),
            p50_ms=percentile_ms(50),
            p90_ms=percentile_ms(90),
            p99_ms=percentile_ms(99),
            max_ms=percentile_ms(100),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An event as a queue delivered it."""

    stream_id: str
    event_id: int
    name: str
    replay_id: str | None
    """The replay that it came by; None for its publication."""

    @property
    def address(self) -> Address:
        """Its stream and EventId."""
        return self.stream_id, self.event_id


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found."""

    faults: tuple[str, ...]
    """What must not be, a sentence each; none when all is well."""
    repeats: int
    """Events that came more than once, which at-least-once allows."""


def check_seen(seen: Sequence[Address], *, expected: Collection[Address], in_order: bool) -> Checked:
    """Check that a reader saw every event, no others, and, if it's promised so, each stream in order.

    Args:
        seen: in the order in which they were seen.
    """
    first = list(dict.fromkeys(seen))
    wanted = set(expected)
    faults = _told("missing", sorted(wanted.difference(first)))
    faults += _told("not expected", [address for address in first if address not in wanted])
    if in_order:
        faults += _told("out of order", _out_of_order(first))
    return Checked(tuple(faults), len(seen) - len(first))


def check_replay(
    messages: Sequence[Message],
    *,
    replay_id: str,
    whole: Mapping[str, Sequence[str]],
    begun: Mapping[str, Sequence[str]],
) -> Checked:
    """Check what a replay's consumer got: all that was there before the request, in order, nothing else.

    Args:
        messages: in the order in which they were received.
        whole: the names of the events, by stream, that have to be there.
        begun: those of streams that were created since the request, whose first events may be there.
    """
    histories = {**begun, **whole}
    first = list(dict.fromkeys(message.address for message in messages))
    expected = [(stream_id, n + 1) for stream_id, names in whole.items() for n in range(len(names))]
    faults = _told("missing", sorted(set(expected).difference(first)))
    # A stream that begins with 1 and goes on without a hole is in order, and of `begun` a beginning.
    faults += _told("out of order", _out_of_order(first))
    wrong = [one for one in messages if not _is_in(histories.get(one.stream_id, ()), one)]
    faults += _told("not what was appended", [one.address for one in wrong])
    strange = [one for one in messages if one.replay_id != replay_id]
    faults += _told("without this replay's id", [one.address for one in strange])
    return Checked(tuple(faults), len(messages) - len(first))


def check_others(messages: Sequence[Message], *, published: Collection[Address]) -> Checked:
    """Check what another subscriber got: every event by its publication, and nothing of a replay."""
    checked = check_seen([one.address for one in messages], expected=published, in_order=False)
    leaked = [one.address for one in messages if one.replay_id is not None]
    return Checked(checked.faults + tuple(_told("of a replay", leaked)), checked.repeats)


def _is_in(history: Sequence[str], message: Message) -> bool:
    return 0 < message.event_id <= len(history) and history[message.event_id - 1] == message.name


def _out_of_order(addresses: Iterable[Address]) -> list[Address]:
    """Find the addresses, each of which is there once, that don't follow the one before in their stream."""
    last: dict[str, int] = {}
    found = []
    for stream_id, event_id in addresses:
        if event_id != last.get(stream_id, 0) + 1:
            found.append((stream_id, event_id))
        last[stream_id] = event_id
    return found


def _told(what: str, addresses: Sequence[Address]) -> list[str]:
    told = [f"{what}: {stream_id}/{event_id}" for stream_id, event_id in addresses[:FAULTS_TOLD]]
    if len(addresses) > FAULTS_TOLD:
        told.append(f"{what}: {len(addresses) - FAULTS_TOLD:,} more")
    return told
