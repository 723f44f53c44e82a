"""The merge: whatever the shards and pages, the order is total, and nothing is lost or doubled."""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Event, Position
from eventstore._merge import Fetched, ShardPage, _share, merge


class InTurn(Executor):
    """Runs what's submitted at once, so that the order of fetches is that of the merge."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class RecordedShard:
    """A shard in memory that gives pages of at most `page` events and counts what it gives."""

    def __init__(self, events: list[Event], page: int = 1_000) -> None:
        self.events = sorted(events, key=lambda event: event.timestamp_us)
        self.page = page
        self.given = 0
        self.fetches = 0
        self.limits: list[int | None] = []

    def fetch(self, *, limit: int | None) -> Fetched:
        self.limits.append(limit)
        size = min(self.page, limit or self.page)
        page = self.events[self.given : self.given + size]
        self.given += len(page)
        self.fetches += 1
        return lambda: ShardPage(page, more=len(page) == size)


def event(timestamp_us: int, stream: int, event_id: int = 1) -> Event:
    return Event(f"s{stream}", event_id, "Happened", "null", "{}", "", timestamp_us)


# Few times and many streams: equal Timestamps inside shards and across are the rule.
shards_of_events = st.lists(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 30)), max_size=25), min_size=1, max_size=6
).map(
    lambda shards: [
        [event(time, stream, 1_000 * shard + n) for n, (time, stream) in enumerate(of)]
        for shard, of in enumerate(shards)
    ]
)


@given(shards_of_events, st.integers(1, 7), st.none() | st.integers(1, 60), st.data())
def test_merge_gives_each_event_once_in_order(
    events: list[list[Event]], page: int, limit: int | None, data: st.DataObject
) -> None:
    everything = sorted((event for of in events for event in of), key=lambda event: event.position)
    after = data.draw(st.none() | st.sampled_from([event.position for event in everything] or [None]))
    from_us = after.timestamp_us if after else 0
    shards = [RecordedShard([e for e in of if e.timestamp_us >= from_us], page) for of in events]

    merged = list(merge(shards, executor=InTurn(), after=after, limit=limit))

    assert merged == [e for e in everything if after is None or e.position > after][:limit]


@pytest.mark.parametrize("limit", [1, 10, 100, 1_000])
@pytest.mark.parametrize("count", [1, 5, 10])
def test_page_reads_at_most_twice_what_it_returns(limit: int, count: int) -> None:
    rng = random.Random(f"{limit}/{count}")
    events: list[list[Event]] = [[] for _ in range(count)]
    for n in range(20_000):
        rng.choice(events).append(event(n, n))
    shards = [RecordedShard(of) for of in events]

    assert len(list(merge(shards, executor=InTurn(), limit=limit))) == limit

    # Of small pages a part that the limit doesn't bound: one event of each shard is the least that tells
    # which comes first, and one more that none is equal.
    least = 0 if limit >= 10 * count else 2 * count
    assert sum(shard.given for shard in shards) <= 2 * limit + least


def test_page_from_a_single_busy_shard_goes_on_with_that_one_alone() -> None:
    shards = [RecordedShard([event(n, n) for n in range(5_000)]), *(RecordedShard([]) for _ in range(9))]

    assert len(list(merge(shards, executor=InTurn(), limit=100))) == 100

    assert [shard.fetches for shard in shards] == [2] + [1] * 9
    assert shards[0].given <= 200


def test_merge_without_limit_holds_two_pages_of_each_shard() -> None:
    """The shard that is ahead of the others isn't read further ahead."""
    ahead = RecordedShard([event(1_000_000 + n, n) for n in range(10_000)], page=100)
    behind = RecordedShard([event(n, n) for n in range(10_000)], page=100)
    with ThreadPoolExecutor(2) as executor:
        merged = merge([ahead, behind], executor=executor)

        for given, _ in enumerate(islice(merged, 5_000), start=1):
            assert ahead.given <= 200
            assert behind.given <= given + 300


def test_failure_of_a_shard_reaches_the_reader() -> None:
    class Broken:
        def fetch(self, *, limit: int | None) -> Fetched:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(merge([RecordedShard([event(1, 1)]), Broken()], executor=ThreadPoolExecutor(1)))


def test_empty_page_in_the_middle_of_a_shard_is_not_its_end() -> None:
    class Sparse:
        def __init__(self) -> None:
            self.pages: Iterator[ShardPage] = iter(
                [ShardPage([], more=True), ShardPage([event(1, 1)], more=True), ShardPage([], more=False)]
            )

        def fetch(self, *, limit: int | None) -> Fetched:
            return lambda: next(self.pages)

    merged = list(merge([Sparse(), RecordedShard([event(2, 2)])], executor=InTurn()))

    assert [e.position for e in merged] == [Position(1, "s1", 1), Position(2, "s2", 1)]


def test_shares_spread_over_all_shards() -> None:
    shards = [RecordedShard([event(10 * n + k, n) for n in range(100)]) for k in range(10)]

    list(merge(shards, executor=InTurn(), limit=100))

    assert Counter(shard.fetches for shard in shards) == {1: 10}


@pytest.mark.parametrize("count", [1, 10])
def test_events_of_one_timestamp_are_read_once_a_page_by_few_requests(count: int) -> None:
    """Their order is known only when all are there; 6,000 of them took 168 requests a page."""
    events: list[list[Event]] = [[] for _ in range(count)]
    for n in range(6_000):
        events[n % count].append(event(7, n))
    everything = sorted((each for of in events for each in of), key=lambda each: each.position)
    after = everything[2_999].position
    shards = [RecordedShard(of, page=100_000) for of in events]

    page = list(merge(shards, executor=InTurn(), after=after, limit=100))

    assert page == everything[3_000:3_100]
    assert sum(shard.given for shard in shards) == 6_000
    # Each asks for twice as many as the one before: 121, 242 ... or, of ten shards, 17, 34 ...
    assert max(shard.fetches for shard in shards) <= 7


def test_events_behind_those_of_one_timestamp_are_asked_for_in_shares_again() -> None:
    ties = [event(7, n) for n in range(2_000)]
    later = [event(8 + n, n) for n in range(20_000)]
    shard = RecordedShard([*ties, *later], page=100_000)

    assert len(list(merge([shard], executor=InTurn(), limit=2_100))) == 2_100
    assert shard.given <= 2 * 2_100 + 2_000


def test_shard_that_joins_is_merged_from_where_the_reading_is() -> None:
    first = RecordedShard([event(n, n) for n in range(0, 100, 2)], page=10)
    second = RecordedShard([event(n, n) for n in range(51, 100, 2)], page=10)
    reached: list[int | None] = []

    def joining(reached_us: int | None) -> list[RecordedShard]:
        reached.append(reached_us)
        joins = reached_us is not None and reached_us >= 38 and second.fetches == 0 and len(joined) == 0
        joined.extend([second] if joins else [])
        return [second] if joins else []

    joined: list[RecordedShard] = []
    merged = list(merge([first], executor=InTurn(), joining=joining))

    assert joined
    assert merged == sorted([*first.events, *second.events], key=lambda each: each.position)


@pytest.mark.parametrize(
    ("missing", "active", "times_as_many", "asked"),
    [
        (None, 4, 1, None),
        (1, 1, 1, 2),
        (1, 4, 1, 2),
        (100, 4, 1, 34),
        (101, 4, 1, 36),
        (100, 4, 2, 68),
        (9, 0, 1, 14),
    ],
)
def test_shard_is_asked_for_its_share_and_for_what_chance_may_add(
    missing: int | None, active: int, times_as_many: int, asked: int | None
) -> None:
    assert _share(missing, active, times_as_many) == asked


def test_shard_is_asked_for_the_share_of_what_is_still_missing() -> None:
    shard = RecordedShard([event(time, 1) for time in range(1, 30)], page=4)
    found = merge([shard], executor=InTurn(), limit=8)
    assert [one.timestamp_us for one in found] == list(range(1, 9))
    assert shard.limits == [13, 9, 2]


def test_shard_of_equal_times_is_asked_for_twice_as_many_each_time() -> None:
    shard = RecordedShard([event(1, stream) for stream in range(40)])
    assert len(list(merge([shard], executor=InTurn(), limit=1))) == 1
    assert shard.limits == [2, 4, 8, 16, 32]
