"""The checker of subscriptions and replay jobs: tells what each must not do, by what it promises.

A breach begins with its kind, as in `checker`, or with `fence` (a write of a former owner that was taken),
`pace` (sent faster than asked for), `pause` (sent after it was told to be paused or cancelled), `start` (an
event told to have ended a worker, which it hasn't), `stuck` (an event that ends one worker after the other, a
replay that neither gets on nor fails).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby, takewhile
from json import loads

from eventstore.delivery.cloudevents import Entry
from eventstore.subscriptions import OnFailure
from tests.proof.checker import Table
from tests.proof.history import Asked, Attempt, Fenced, Job, Told
from tests.proof.starts import Ends
from tests.simulator.history import Address

_CREDIT_S = 1.5
"""Of a replay's pace: what a wait in whole seconds is made up for by."""
_BURST_S = 5


def wanted(
    table: Table,
    *,
    names: Collection[str] = (),
    prefix: str = "",
    from_us: int | None = None,
    to_us: int | None = None,
) -> Table:
    """Leave of a table what a filter and a range let through."""
    return {
        stream_id: [
            event
            for event in events
            if (not names or event.name in names)
            and (from_us is None or event.timestamp_us >= from_us)
            and (to_us is None or event.timestamp_us < to_us)
        ]
        for stream_id, events in table.items()
        if stream_id.startswith(prefix)
    }


def breaches_of_view(view: Mapping[str, Sequence[str]], table: Table) -> Iterator[str]:
    """Check that a projection's rows of each stream are the fold of the stream: each event once, in order."""
    for stream_id in sorted(view.keys() | table.keys()):
        rows = list(view.get(stream_id, ()))
        fold = [f"{event.event_id}:{event.payload}" for event in table.get(stream_id, ())]
        if missing := set(fold) - set(rows):
            yield f"lost: {len(missing)} events of {stream_id} are not in the projection"
        if len(rows) > len(set(rows)):
            yield f"twice: {len(rows) - len(set(rows))} events of {stream_id} are in the projection again"
        elif not missing and rows != fold:
            yield f"order: the projection of {stream_id} is not the fold of its events"


def breaches_of_fences(writes: Sequence[Fenced]) -> Iterator[str]:
    """Check that none wrote under a fence after it was told to somebody that a higher one was taken."""
    taken = [write for write in writes if write.takes]
    for write in writes:
        for other in taken:
            is_over = other.what == write.what and other.fence > write.fence
            if is_over and other.returned < write.invoked:
                yield f"fence: {write.what} was written to under {write.fence}, after {other.fence} was taken"
                break


def breaches_of_attempts(
    told: Sequence[Told],
    table: Table,
    *,
    on_failure: OnFailure,
    max_tries: int,
    max_starts: int = 1_000,
) -> Iterator[str]:
    """Check how a handler that may fail was called: what, in which order, and what was given up.

    An event is given up by a process whose tries at it all failed, as many as it may make; or since
    `max_starts` processes ended within it (see `Ends`). With SKIP and PARK it lets later events of its stream
    through; with STOP and PARK_STREAM they wait until it's handled. In the end every event was handled, with
    SKIP but for those that were given up.

    Args:
        told: the handler's calls, in order among what the workers' leases have told.
        table: what it has to be called with, and nothing else.
    """
    name = f"a handler with {on_failure.name}"
    waits = on_failure in {OnFailure.STOP, OnFailure.PARK_STREAM}
    numbers = {stream_id: [event.event_id for event in events] for stream_id, events in table.items()}
    done, given_up = set[Address](), set[Address]()
    failed = Counter[tuple[str, Address]]()
    ends = Ends(max_starts)
    for one in told:
        if not isinstance(one, Attempt):
            given_up.update(ends.given_up(one))
            continue
        stream_id, event_id = one.address
        if event_id not in numbers.get(stream_id, ()):
            yield f"invented: {name} was given {one.address}"
            continue
        passed = done if waits else done | given_up
        earlier = takewhile(event_id.__gt__, numbers[stream_id])
        if any((stream_id, number) not in passed for number in earlier):
            yield f"order: {name} was given {stream_id}/{event_id} out of turn"
        if one.is_handled:
            done.add(one.address)
            continue
        failed[one.worker, one.address] += not one.ends_worker
        if failed[one.worker, one.address] >= max_tries:
            given_up.add(one.address)
    passed = done | given_up if on_failure is OnFailure.SKIP else done
    for stream_id, those in numbers.items():
        for event_id in those:
            if (stream_id, event_id) not in passed:
                yield f"lost: {name} never handled {stream_id}/{event_id}"


def breaches_of_ends(attempts: Sequence[Attempt], *, max_starts: int) -> Iterator[str]:
    """Check that no event ended workers for ever: twice as many as it's given up after, at most.

    An end isn't counted when its worker couldn't store it and nobody was looking yet.

    Args:
        attempts: calls that ended their workers.
    """
    ends: dict[Address, set[str]] = defaultdict(set)
    for attempt in attempts:
        ends[attempt.address].add(attempt.worker)
    for (stream_id, event_id), workers in ends.items():
        if len(workers) > 2 * max_starts:
            yield f"stuck: {stream_id}/{event_id} has ended {len(workers)} workers"


def breaches_of_messages(entries: Sequence[Entry], table: Table, *, replay_id: str) -> Iterator[str]:
    """Check that each message is its event as it was first published, and says of which replay it is."""
    events = {(event.stream_id, event.event_id): event for those in table.values() for event in those}
    for entry in entries:
        event, detail = events[entry.stream_id, entry.event_id], loads(entry.detail)
        said = [entry.detail_type, detail["type"], detail["id"], detail["subject"], detail["replayid"]]
        address = f"{event.stream_id}/{event.event_id}"
        if said != [event.name, event.name, address, event.stream_id, replay_id]:
            yield f"changed: the message of {address} says {said}"
        elif detail["data"] != loads(event.payload):
            yield f"changed: the message of {address} has other data"


def breaches_of_pace(job: Job, *, events_per_second: int | None, began_us: int) -> Iterator[str]:
    """Check that a replay was never further than its pace allows, but for what it may send at once."""
    if events_per_second is None:
        return
    for at_us, sent in job.progress:
        elapsed_s = (at_us - began_us) / 1_000_000
        most = events_per_second * (elapsed_s + _CREDIT_S + _BURST_S)
        if sent > most:
            yield f"pace: {sent} were sent in {elapsed_s:.1f} s, at {events_per_second} a second"


def breaches_of_pauses(job: Job) -> Iterator[str]:
    """Check that nothing began after a replay was told to be paused or cancelled, until it was resumed.

    The step at work may send on, up to where it next stores how far it is.
    """
    for begin, end in _rests(job.asked):
        for write in job.fenced:
            if write.takes and begin < write.invoked and write.returned < end:
                yield f"pause: step {write.fence} began after the replay was held"
        stored: dict[int, int] = {}
        for write in job.fenced:
            if not write.takes and write.invoked > begin:
                stored[write.fence] = min(write.returned, stored.get(write.fence, write.returned))
        for call in job.calls:
            if stored.get(call.fence, end) < call.moment < end:
                yield f"pause: step {call.fence} went on though the replay was held"


def breaches_of_steps(job: Job, *, most: int) -> Iterator[str]:
    """Check that no run of a replay began steps for ever that never got on: it has failed long before."""
    for (run, position), steps in groupby(job.steps):
        count = sum(1 for _ in steps)
        if count > most:
            yield f"stuck: run {run} of the replay began {count} steps in a row at {position}"


def _rests(asked: Sequence[Asked]) -> Iterator[tuple[int, int]]:
    """Return between which moments a job had to rest: nobody had asked to resume it, or was just asking."""
    resumes = [one for one in asked if one.what == "resume"]
    for one in asked:
        if one.what == "resume" or one.returned is None:
            continue
        end = 10**12
        for resume in resumes:
            if resume.invoked > one.returned:
                end = min(end, resume.invoked)
            elif resume.returned is None or resume.returned > one.invoked:
                break  # at the same time: who was first isn't known
        else:
            yield one.returned, end
