"""How long it takes from an append over HTTP until each kind of subscriber has the event."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from threading import Event as Flag
from typing import Final
from uuid import uuid4

from bench.checks import Address, Checked, Delays, check_seen
from bench.readers import Following, PollingTheLog, Reader, Reading, Receiving
from eventstore.http.times import parse_time
from eventstore.positions import to_us
from eventstore.subscriptions import Terms
from localcloud.api import Api, event_text
from localcloud.cloud import Cloud
from localcloud.deploy import Deployment
from localcloud.subscriber import Subscriber

WRITERS: Final = 8
STREAMS: Final = 13 * WRITERS  # so that each stream has one writer
WAIT_S: Final = 60.0

DEFAULT_POLL_S: Final = Terms().poll_s
FAST_POLL_S: Final = 0.1


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
    def sparse(cls, *, events: int, per_second: float) -> Load:
        """So many events by chance: evenly spaced ones would meet the subscription's pauses in step."""
        chance = random.Random(1)
        due_s = list(accumulate(chance.expovariate(per_second) for _ in range(events)))
        what = f"{events:,} events by chance, {per_second:g} a second on average"
        return cls(name="sparse", what=what, due_s=due_s)

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
    logged: Delays
    """From an event's Timestamp until it stood in the log; of each batch the oldest event's, for all of it:
    the log writer's own metric LogLag."""
    published: Delays
    """From an event's Timestamp until PutEvents was answered; likewise: PublicationLag."""
    readers: Mapping[str, ReaderFigures]


def measure_latency(
    cloud: Cloud, app: Deployment, loads: Sequence[Load], *, report: Callable[[str], None]
) -> dict[str, LoadFigures]:
    """Append loads, one after the other, while all readers read side by side."""
    written: dict[str, list[Written]] = {}
    during: dict[str, tuple[int, int]] = {}
    with Subscriber.on_bus(cloud, app.event_bus) as subscriber, Api(app.api_url, connections=WRITERS) as api:
        readings = _readings(subscriber.queue_url)
        with _reading(cloud, app, readings) as readers:
            warmed = _write(api, Load.steady(events=STREAMS, per_second=50), prefix=f"warm-{uuid4()}")
            _await(readers, len(warmed))
            so_far = len(warmed)
            for load in loads:
                report(load.what)
                begun_us = _now_us()
                written[load.name] = _write(api, load, prefix=f"{load.name}-{uuid4()}")
                so_far += len(load.due_s)
                _await(readers, so_far)
                during[load.name] = begun_us, _now_us()
            seen = {reader.name: reader.end() for reader in readers}
    return {
        load.name: LoadFigures(
            what=load.what,
            answer=Delays.of(one.answered_us - one.sent_us for one in written[load.name]),
            logged=_lags(cloud.log, metric="LogLag", count="Logged", during=during[load.name]),
            published=_lags(cloud.log, metric="PublicationLag", count="Published", during=during[load.name]),
            readers=_figures(written[load.name], readings, seen),
        )
        for load in loads
    }


def _readings(queue_url: str) -> dict[str, Reading]:
    return {
        **{f"subscription, poll_s={poll_s:g}": Following(poll_s) for poll_s in (DEFAULT_POLL_S, FAST_POLL_S)},
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
    interrupted = Flag()

    def write(writer: int) -> None:
        for number in range(writer, len(load.due_s), WRITERS):
            if interrupted.wait(max(0.0, begin_s + load.due_s[number] - time.monotonic())):
                return
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
        try:
            for future in [executor.submit(write, writer) for writer in range(WRITERS)]:
                future.result()
        finally:
            interrupted.set()
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
    figures = {}
    for name, reading in readings.items():
        at_us = _first(seen[name])
        came = [one for one in written if one.address in at_us]
        if not came:
            raise RuntimeError(f"The reader '{name}' saw none of {len(written):,} events in {WAIT_S:g} s.")
        figures[name] = ReaderFigures(
            from_answer=Delays.of(at_us[one.address] - one.answered_us for one in came),
            from_timestamp=Delays.of(at_us[one.address] - one.timestamp_us for one in came),
            checked=check_seen(
                [address for address, _ in seen[name] if address[0].startswith(f"{prefix}/")],
                expected=addresses,
                in_order=reading.in_order,
            ),
        )
    return figures


def _lags(log: Path, *, metric: str, count: str, during: tuple[int, int]) -> Delays:
    """Read a function's own metric, which stands in the cloud's log in CloudWatch's format."""
    lags_us: list[int] = []
    with log.open(errors="replace") as lines:
        for line in lines:
            if not line.startswith('{"_aws"') or f'"{metric}"' not in line:
                continue
            told = json.loads(line)
            if during[0] <= told["_aws"]["Timestamp"] * 1_000 <= during[1]:
                lags_us += [round(told[metric][0] * 1_000)] * int(told[count][0])
    return Delays.of(lags_us)


def _first(sightings: Sequence[tuple[Address, int]]) -> dict[Address, int]:
    first: dict[Address, int] = {}
    for address, at_us in sightings:
        first.setdefault(address, at_us)
    return first


def _now_us() -> int:
    return time.time_ns() // 1_000
