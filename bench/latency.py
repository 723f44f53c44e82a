"""How long it takes from an append over HTTP until each kind of subscriber has the event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from bench.checks import Address, Checked, Delays, check_seen
from bench.readers import Following, PollingTheLog, Reader, Reading, Receiving
from eventstore.http.times import parse_time
from eventstore.local.api import Api, event_text
from eventstore.local.cloud import Cloud
from eventstore.local.deploy import Deployment
from eventstore.local.subscriber import Subscriber
from eventstore.positions import to_us
from eventstore.subscriptions import Terms

WRITERS: Final = 8
STREAMS: Final = 13 * WRITERS  # so that each stream has one writer
WAIT_S: Final = 60.0

DEFAULT_POLL_S: Final = Terms().poll_s
FLOOR_POLL_S: Final = 0.02
"""Polling so often costs next to no time: what is left is the way to the log, and reading it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An event that was appended; times in microseconds since 1970, all by this machine's clock."""

    address: Address
    sent_us: int
    answered_us: int
    timestamp_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderFigures:
    """What one reader saw of a load."""

    from_answer: Delays
    """Since the append was answered; below 0 when the reader was first."""
    from_timestamp: Delays
    """Since the event's Timestamp."""
    polling_p50_ms: float | None
    """The median of what the same event came later than to the subscription that polls every 20 ms."""
    checked: Checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Events at due times."""

    name: str
    what: str
    due_s: Sequence[float]
    """When each is appended, in seconds since the beginning."""

    @classmethod
    def steady(cls, *, events: int, per_second: float) -> Load:
        """So many events, one after the other."""
        what = f"{events:,} events, {per_second:g} a second"
        return cls(name="steady", what=what, due_s=[n / per_second for n in range(events)])

    @classmethod
    def bursts(cls, *, bursts: int, events: int, every_s: float) -> Load:
        """So many events at once, again and again."""
        what = f"{bursts} bursts of {events} events, one every {every_s:g} s, by {WRITERS} writers"
        return cls(
            name="bursts", what=what, due_s=[n * every_s for n in range(bursts) for _ in range(events)]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFigures:
    """What came of a load."""

    what: str
    answer: Delays
    """From sending an append to its answer."""
    readers: Mapping[str, ReaderFigures]


def measure_latency(
    cloud: Cloud, app: Deployment, loads: Sequence[Load], *, report: Callable[[str], None]
) -> dict[str, LoadFigures]:
    """Append loads, one after the other, while all readers read side by side."""
    written: dict[str, list[Written]] = {}
    with Subscriber.on_bus(cloud, app.event_bus) as subscriber, Api(app.api_url, connections=WRITERS) as api:
        readings = _readings(subscriber.queue_url)
        with _reading(cloud, app, readings) as readers:
            warmed = _write(api, Load.steady(events=STREAMS, per_second=50), prefix=f"warm-{uuid4()}")
            _await(readers, len(warmed))
            so_far = len(warmed)
            for load in loads:
                report(load.what)
                written[load.name] = _write(api, load, prefix=f"{load.name}-{uuid4()}")
                so_far += len(load.due_s)
                _await(readers, so_far)
            seen = {reader.name: reader.end() for reader in readers}
    return {
        load.name: LoadFigures(
            what=load.what,
            answer=Delays.of(one.answered_us - one.sent_us for one in written[load.name]),
            readers=_figures(written[load.name], readings, seen),
        )
        for load in loads
    }


def following(poll_s: float) -> str:
    """Name the subscription with this interval."""
    return f"subscription, poll_s={poll_s:g}"


def _readings(queue_url: str) -> dict[str, Reading]:
    return {
        **{following(poll_s): Following(poll_s) for poll_s in (DEFAULT_POLL_S, 0.1, FLOOR_POLL_S)},
        f"GET /log every {DEFAULT_POLL_S:g} s": PollingTheLog(DEFAULT_POLL_S),
        "EventBridge rule, SQS queue": Receiving(queue_url),
    }


@contextmanager
def _reading(cloud: Cloud, app: Deployment, readings: Mapping[str, Reading]) -> Iterator[list[Reader]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(Reader.started(name, reading, app=app, environment=cloud.environment()))
            for name, reading in readings.items()
        ]


def _write(api: Api, load: Load, *, prefix: str) -> list[Written]:
    """Append a load's events on time, late only when the writer's last one wasn't answered yet."""
    begin_s = time.monotonic() + 0.1
    written: list[Written] = []

    def write(writer: int) -> None:
        for number in range(writer, len(load.due_s), WRITERS):
            time.sleep(max(0.0, begin_s + load.due_s[number] - time.monotonic()))
            stream_id, version = f"{prefix}/{number % STREAMS}", number // STREAMS
            event = event_text(name="Happened", payload=f'{{"number":{number}}}')
            sent_us = _now_us()
            answer = api.append(stream_id, expected=version, events=[event])
            answered_us = _now_us()
            if answer.is_conflict:
                raise RuntimeError(f"{stream_id} has another writer, and must not: {answer.body}")
            timestamp = parse_time(answer.body["events"][0]["timestamp"], field="timestamp")
            written.append(
                Written(
                    address=(stream_id, version + 1),
                    sent_us=sent_us,
                    answered_us=answered_us,
                    timestamp_us=to_us(timestamp),
                )
            )

    with ThreadPoolExecutor(WRITERS) as executor:
        for future in [executor.submit(write, writer) for writer in range(WRITERS)]:
            future.result()
    return written


def _await(readers: Sequence[Reader], count: int) -> None:
    """Wait until all have seen so many, or for `WAIT_S`: what is missing then is told by the check."""
    deadline = time.monotonic() + WAIT_S
    while min(reader.count() for reader in readers) < count and time.monotonic() < deadline:
        time.sleep(0.1)


def _figures(
    written: Sequence[Written],
    readings: Mapping[str, Reading],
    seen: Mapping[str, Sequence[tuple[Address, int]]],
) -> dict[str, ReaderFigures]:
    addresses = {one.address for one in written}
    prefix = written[0].address[0].partition("/")[0]
    first = {name: _first(sightings) for name, sightings in seen.items()}
    floor = first[following(FLOOR_POLL_S)]
    figures = {}
    for name, reading in readings.items():
        at_us = first[name]
        came = [one for one in written if one.address in at_us]
        if not came:
            raise RuntimeError(f"The reader '{name}' saw none of {len(written):,} events in {WAIT_S:g} s.")
        later = [at_us[one.address] - floor[one.address] for one in came if one.address in floor]
        polls = reading.polls and name != following(FLOOR_POLL_S)
        figures[name] = ReaderFigures(
            from_answer=Delays.of(at_us[one.address] - one.answered_us for one in came),
            from_timestamp=Delays.of(at_us[one.address] - one.timestamp_us for one in came),
            polling_p50_ms=Delays.of(later).p50_ms if polls else None,
            checked=check_seen(
                [address for address, _ in seen[name] if address[0].startswith(f"{prefix}/")],
                expected=addresses,
                in_order=reading.in_order,
            ),
        )
    return figures


def _first(sightings: Sequence[tuple[Address, int]]) -> dict[Address, int]:
    first: dict[Address, int] = {}
    for address, at_us in sightings:
        first.setdefault(address, at_us)
    return first


def _now_us() -> int:
    return time.time_ns() // 1_000
