"""What queries show while a transaction becomes visible, and items that nobody has asked for."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any
from uuid import uuid4

import pytest

from eventstore import ANY, EXISTS, Event, NewEvent, execute
from eventstore.dynamodb.checkpoints import DynamoDBCheckpoints
from eventstore.dynamodb.event_bodies import DynamoDBEventBodies
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.log_items import LogItem
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.dynamodb.replays import DynamoDBReplays, item_from_replay
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.errors import StreamGap, UnexpectedItem, VersionConflict
from eventstore.limits import NOT_YET_VISIBLE_S
from eventstore.ordering.delivered import DeliveredStreams
from eventstore.ordering.journal import NoJournal
from eventstore.ordering.stream_order import ChangeRecord, Missing, StreamOrder
from eventstore.replays.service import Replay
from tests.half_visible import Address, HalfVisible
from tests.tables import Meter, boto3s_client, dynamodb_client, events_table, tables_client

BEFORE, AFTER = 2, 5
HIDDEN = [hidden for count in (1, 2) for hidden in combinations(range(BEFORE + 1, AFTER + 1), count)]
"""Of the events 3, 4 and 5, which one transaction writes, those that aren't visible yet."""


@pytest.fixture
def table(dynamodb_endpoint: str) -> Iterator[tuple[str, str]]:
    with events_table(tables_client(dynamodb_endpoint)) as name:
        yield dynamodb_endpoint, name


def half_visible(
    table: tuple[str, str], hidden: tuple[int, ...], *, queries: float, items: bool = False
) -> tuple[DynamoDBEventStore, HalfVisible]:
    client = dynamodb_client(table[0])
    pauses: list[float] = []
    store = DynamoDBEventStore(client=client, table_name=table[1], settling_s=0, sleep=pauses.append)
    for _ in range(BEFORE):
        store.append("s", [NewEvent.of("Before")], expected=ANY)

    def hides(addresses: list[Address]) -> set[Address]:
        return {address for address in addresses if address[1] in hidden}

    half = HalfVisible.on(client, hides=hides, queries=queries, items=items)
    store.append("s", [NewEvent.of("Part")] * (AFTER - BEFORE), expected=BEFORE)
    return store, half


def is_whole(event_ids: list[int]) -> bool:
    return event_ids == list(range(event_ids[0], event_ids[0] + len(event_ids))) if event_ids else True


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_every_way_of_reading_a_stream_is_without_gaps(
    table: tuple[str, str], hidden: tuple[int, ...], consistent: bool
) -> None:
    store, half = half_visible(table, hidden, queries=2)
    ways: list[dict[str, Any]] = [
        {},
        {"limit": 4},
        {"limit": 3},
        {"from_version": 3},
        {"from_version": 4, "to_version": 5},
        {"backward": True},
        {"backward": True, "limit": 2},
        {"backward": True, "from_version": 3},
        {"backward": True, "from_version": 4},
        {"backward": True, "to_version": 4, "limit": 3},
    ]
    for way in ways:
        half.left = 2
        found = [event.event_id for event in store.read_stream("s", consistent=consistent, **way)]
        if way.get("backward"):
            found.reverse()
            assert not found or found[0] == way.get("from_version", 1) or len(found) == way.get("limit"), way
        assert is_whole(found), (way, found)
        assert not found or way.get("backward") or found[0] == way.get("from_version", 1), (way, found)
        half.left = 0
        assert len(list(store.read_stream("s", **way))) >= len(found)
    assert half.met


@pytest.mark.parametrize("hidden", HIDDEN)
def test_head_is_never_one_with_unseen_events_right_before_it(
    table: tuple[str, str], hidden: tuple[int, ...]
) -> None:
    store, half = half_visible(table, hidden, queries=math.inf)
    visible = [n for n in range(1, AFTER + 1) if n not in hidden]

    if max(visible) - 1 in hidden:
        with pytest.raises(StreamGap):
            store.head("s")
        half.left = 1
    assert store.head("s").version == max(visible)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_decision_is_made_on_states_that_were(table: tuple[str, str], hidden: tuple[int, ...]) -> None:
    store, half = half_visible(table, hidden, queries=3)
    half.left = 3
    seen: list[tuple[int, ...]] = []

    def fold(state: tuple[int, ...], event: Event) -> tuple[int, ...]:
        return (*state, event.event_id)

    def decide(state: tuple[int, ...]) -> list[NewEvent]:
        seen.append(state)
        return [NewEvent.of("Decided")]

    execute(store, "s", initial=(), fold=fold, decide=decide, sleep=lambda _: None)

    assert all(is_whole(list(state)) for state in seen)
    assert [event.event_id for event in store.read_stream("s")] == list(range(1, AFTER + 2))


@pytest.mark.parametrize("queries", range(1, 7))
@pytest.mark.parametrize("hidden", HIDDEN)
def test_command_redelivered_while_it_becomes_visible_folds_all_of_it(
    table: tuple[str, str], hidden: tuple[int, ...], queries: int
) -> None:
    """However long that takes, as an append to any: nothing of it is refused, or left out of the state."""
    store, half = half_visible(table, hidden, queries=0)
    command = [NewEvent.of("Part", uid=uuid4()) for _ in range(AFTER - BEFORE)]
    hides = {("s", AFTER - BEFORE + event_id) for event_id in hidden}
    half._hides, half._queries = lambda _: hides, queries
    first = store.append("s", command, expected=AFTER)

    again = execute(
        store,
        "s",
        initial=(),
        fold=lambda state, event: (*state, event.event_id),
        decide=lambda _: command,
        sleep=lambda _: None,
    )

    assert (again.repeated, again.events) == (True, first.events)
    assert (again.head, again.state) == (first.head, tuple(range(1, first.version + 1)))


@pytest.mark.parametrize("expected", [ANY, EXISTS])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_append_behind_a_half_visible_transaction_leaves_no_gap(
    table: tuple[str, str], hidden: tuple[int, ...], expected: Any
) -> None:
    store, half = half_visible(table, hidden, queries=3)
    half.left = 3

    assert store.append("s", [NewEvent.of("Next")], expected=expected).version == AFTER + 1


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_gap_is_waited_for_as_long_whatever_chance_says(table: tuple[str, str], jitter: float) -> None:
    half_visible(table, (4,), queries=0)
    client, pauses = dynamodb_client(table[0]), list[float]()
    store = DynamoDBEventStore(
        client=client, table_name=table[1], settling_s=0, sleep=pauses.append, jitter=lambda: jitter
    )
    client.delete_item(TableName=table[1], Key={"StreamId": {"S": "s"}, "EventId": {"N": "4"}})
    with pytest.raises(StreamGap):
        list(store.read_stream("s"))
    assert 0.8 < sum(pauses) < 1.7


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("deleted", "gap"), [([3], (3, 3)), ([2, 3], (2, 3)), ([1], (1, 1))])
def test_gap_that_stays_is_an_error_that_names_it(
    table: tuple[str, str], deleted: list[int], gap: tuple[int, int], backward: bool
) -> None:
    store, _ = half_visible(table, (), queries=0)
    for event_id in deleted:
        store._client.delete_item(
            TableName=table[1], Key={"StreamId": {"S": "s"}, "EventId": {"N": str(event_id)}}
        )
    found: list[int] = []

    with pytest.raises(StreamGap, match="'s'") as caught:
        found += (event.event_id for event in store.read_stream("s", backward=backward))

    assert (caught.value.stream_id, caught.value.first_missing, caught.value.last_missing) == ("s", *gap)


@pytest.mark.parametrize("expected", [1, 2, 4])
def test_append_at_a_version_whose_event_was_deleted_is_refused_as_a_gap(
    table: tuple[str, str], expected: int
) -> None:
    store, _ = half_visible(table, (), queries=0)
    store._client.delete_item(
        TableName=table[1], Key={"StreamId": {"S": "s"}, "EventId": {"N": str(expected)}}
    )
    meter = Meter.on(store._client)

    with pytest.raises(StreamGap) as caught:
        store.append("s", [NewEvent.of("Next")], expected=expected)

    assert (caught.value.first_missing, caught.value.last_missing) == (expected, expected)
    assert meter.requests == ["GetItem", *["Query"] * 9]


@pytest.mark.parametrize("hidden", [hidden for hidden in HIDDEN if AFTER not in hidden])
def test_version_that_becomes_visible_behind_later_ones_is_no_gap(
    table: tuple[str, str], hidden: tuple[int, ...]
) -> None:
    store, half = half_visible(table, hidden, queries=4, items=True)

    with pytest.raises(VersionConflict) as caught:
        store.append("s", [NewEvent.of("Next")], expected=hidden[0])

    assert (caught.value.expected, caught.value.actual, half.left) == (hidden[0], AFTER, 0)


@pytest.mark.parametrize("others", [1, 2])
def test_version_that_comes_to_exist_while_it_is_looked_for_is_not_ahead(
    table: tuple[str, str], monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    store, _ = half_visible(table, (), queries=0)
    read, looked = store.event_at, list[int]()

    def event_at(stream_id: str, event_id: int) -> Event | None:
        found = read(stream_id, event_id)
        if not looked:
            store.append("s", [NewEvent.of("Another")] * others, expected=ANY)
        looked.append(event_id)
        return found

    monkeypatch.setattr(store, "event_at", event_at)

    if others == 1:
        assert store.append("s", [NewEvent.of("Next")], expected=AFTER + 1).version == AFTER + 2
    else:
        with pytest.raises(VersionConflict) as caught:
            store.append("s", [NewEvent.of("Next")], expected=AFTER + 1)
        assert type(caught.value) is VersionConflict
        assert caught.value.actual == AFTER + 2


def test_gap_that_stays_is_asked_for_again_a_bounded_number_of_times(table: tuple[str, str]) -> None:
    store, half = half_visible(table, (3,), queries=math.inf)
    queries = half.met

    with pytest.raises(StreamGap):
        list(store.read_stream("s"))

    assert 1 < half.met - queries <= 10


def test_publication_passes_over_what_was_deleted(table: tuple[str, str]) -> None:
    """A hole that can't be filled is not a reason to stop a shard for ever."""
    store, _ = half_visible(table, (), queries=0)
    last = list(store.read_stream("s"))[-1]
    store._client.delete_item(TableName=table[1], Key={"StreamId": {"S": "s"}, "EventId": {"N": "3"}})
    order = StreamOrder(
        reader=store,
        published=DeliveredStreams(),
        window_us=10**12,
        journal=NoJournal(),
        clock_us=lambda: last.timestamp_us + round(NOT_YET_VISIBLE_S * 1_000_000),
    )

    plan = order.plan([ChangeRecord("1", "s", last.event_id, last)], in_time=lambda: True)

    assert [placed.event.event_id for placed in plan.queues["s"]] == [1, 2, 4, 5]
    assert plan.missing == [Missing("s", 3, 3)]


# --- items of others ----------------------------------------------------------------------------------------


def answering(client: Any, change: Callable[[str, dict[str, Any]], None]) -> Any:
    """Have a client's answers changed, as when they're another's."""

    def changed(parsed: Any, model: Any, **_: Any) -> None:
        change(model.name, parsed)

    client.meta.events.register("after-call.dynamodb", changed)
    return client


OF_OTHERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "stream": lambda item: item.update(StreamId={"S": "other"}),
    "place": lambda item: item.update(EventId={"N": "99"}),
}


@pytest.mark.parametrize("made", [dynamodb_client, boto3s_client])
@pytest.mark.parametrize("what", OF_OTHERS)
def test_event_of_another_address_than_asked_for_is_an_error(
    table: tuple[str, str], what: str, made: Any
) -> None:
    DynamoDBEventStore(client=dynamodb_client(table[0]), table_name=table[1], settling_s=0).append(
        "s", [NewEvent.of("E")] * 3, expected=0
    )

    def change(operation: str, parsed: dict[str, Any]) -> None:
        items = {
            "Query": lambda: parsed["Items"],
            "GetItem": lambda: [parsed["Item"]],
            "BatchGetItem": lambda: parsed["Responses"][table[1]],
        }.get(operation, list)()
        if items:
            OF_OTHERS[what](items[len(items) // 2])

    client = answering(made(table[0]), change)
    at: Any = {"client": client, "table_name": table[1]}
    store, bodies = DynamoDBEventStore(**at, settling_s=0, sleep=lambda _: None), DynamoDBEventBodies(**at)
    reads: list[Callable[[], object]] = [
        lambda: list(store.read_stream("s", to_version=3)),
        lambda: list(store.read_stream("s", to_version=3, backward=True)),
        lambda: store.append("s", [NewEvent.of("E")], expected=3),
        lambda: store.read_times([("s", 1), ("s", 2)]),
        lambda: bodies.read_events([("s", 1), ("s", 2)]),
        lambda: DynamoDBEventsTable(**at).get("s", 1),
    ]
    if what == "stream":
        reads += [lambda: list(DynamoDBEventsTable(**at).read_items("s", from_version=1))]
        reads += [lambda: store.head("s")]
    for number, read in enumerate(reads):
        with pytest.raises(UnexpectedItem, match=r"'other'|99"):
            pytest.fail(f"read {number} has returned {read()}")


def canned(answers: dict[str, Any]) -> Any:
    """Make a client that isn't boto3's: it has these answers."""

    class Canned:
        def __getattr__(self, name: str) -> Callable[..., Any]:
            return lambda **_: copy.deepcopy(answers[name])

    return Canned()


def test_block_lease_and_replay_of_others_are_errors() -> None:
    block = {"Tranche": {"N": "2"}, "Block": {"N": "1"}, "Entries": {"S": "[]"}}
    log = DynamoDBEventLog(client=canned({"query": {"Items": [block]}}), table_name="t")
    log._begun = LogItem(4, "log")
    with pytest.raises(UnexpectedItem, match="tranche 2"):
        list(log.read_tranche(0))

    item = {"Subscription": {"S": "other"}, "Item": {"S": "group#worker#w"}, "Counter": {"N": "1"}}
    with pytest.raises(UnexpectedItem, match="'other'"):
        DynamoDBCheckpoints(client=canned({"query": {"Items": [item]}}), table_name="t").read_group("view")

    replay = Replay(replay_id="other", target="t", from_us=None, to_us=1, requested_us=1, updated_us=1)
    client = canned(
        {
            "get_item": {"Item": item_from_replay(replay)},
            "update_item": {"Attributes": item_from_replay(replay)},
        }
    )
    replays = DynamoDBReplays(client=client, table_name="t")
    for read in (lambda: replays.get("r"), lambda: replays.claim(replay_of("r"), until_us=1)):
        with pytest.raises(UnexpectedItem, match="replay other"):
            read()


def replay_of(replay_id: str) -> Replay:
    return Replay(replay_id=replay_id, target="t", from_us=None, to_us=1, requested_us=1, updated_us=1)
