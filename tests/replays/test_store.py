"""The contract of where replays are kept, in memory and on DynamoDB Local."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from eventstore.dynamodb.replays import DynamoDBReplays, item_from_replay, replay_from_item
from eventstore.dynamodb.schema import replays as replay_schema
from eventstore.errors import MalformedReplay, StoreUnavailable
from eventstore.memory.replays import MemoryReplays
from eventstore.positions import Position
from eventstore.replays.service import Replay, ReplayStatus, ReplayStore
from tests.tables import dynamodb_client, replays_table

ID = "01890a5d-ac96-774b-bcce-b302099a80%02d"


def replay(number: int = 1) -> Replay:
    return Replay(
        replay_id=ID % number,
        target="arn:aws:sqs:eu-central-1:123456789012:rebuild",
        from_us=None,
        to_us=2_000_000,
        names=("OrderPaid", "Bestätigt"),
        requested_us=1_000_000,
        updated_us=1_000_000,
        status=ReplayStatus.RUNNING,
    )


@pytest.fixture(scope="module")
def table(dynamodb_endpoint: str) -> Iterator[DynamoDBReplays]:
    client = dynamodb_client(dynamodb_endpoint)
    with replays_table(client) as name:
        yield DynamoDBReplays(client=client, table_name=name)


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest, table: DynamoDBReplays) -> ReplayStore:
    return MemoryReplays() if request.param == "memory" else table


def test_replay_is_read_as_it_was_kept(store: ReplayStore) -> None:
    store.create(replay())
    assert store.get(ID % 1) == replay()
    assert store.get(ID % 99) is None


def test_latest_are_the_newest_first_and_bounded(store: ReplayStore) -> None:
    for number in (2, 4, 3):
        store.create(replay(number))
    assert [of.replay_id for of in store.latest(limit=2)] == [ID % 4, ID % 3]


def test_key_keeps_one_replay_and_gives_it_back_as_it_is_now(store: ReplayStore) -> None:
    first = replace(replay(11), request_key="k-11", request_digest="d")
    assert store.create(first) == first
    claimed = store.claim(first, until_us=7)
    assert claimed

    for again in (replay(12), replay(13)):
        kept = store.create(replace(again, request_key="k-11", request_digest="other"))
        assert kept == claimed
        assert store.get(again.replay_id) is None
    other = replace(replay(14), request_key="k-14")
    assert store.create(other) == other
    assert {of.replay_id for of in store.latest(limit=100)} >= {ID % 11, ID % 14}


def test_replays_without_a_key_are_all_kept(store: ReplayStore) -> None:
    for number in (21, 22):
        assert store.create(replay(number)) == replay(number)
        assert store.get(ID % number) == replay(number)


def test_claim_is_won_once(store: ReplayStore) -> None:
    store.create(replay())
    won = store.claim(replay(), until_us=7)
    assert won == replace(replay(), fence=1, failed_steps=1, lease_until_us=7)
    assert store.get(ID % 1) == won
    assert store.claim(replay(), until_us=9) is None
    assert store.get(ID % 1) == won


def test_claim_of_what_does_not_run_or_was_resumed_or_never_was_is_refused(store: ReplayStore) -> None:
    store.create(replace(replay(), status=ReplayStatus.PAUSED))
    assert store.claim(replay(), until_us=7) is None
    store.create(replace(replay(), run=2))
    assert store.claim(replay(), until_us=7) is None
    assert store.claim(replay(98), until_us=7) is None


def test_progress_is_stored_under_the_fence_and_leaves_the_status(store: ReplayStore) -> None:
    store.create(replay())
    mine = store.claim(replay(), until_us=7)
    assert mine
    paused = store.change(replace(mine, status=ReplayStatus.PAUSED), before=mine)
    assert paused
    progress = replace(
        mine,
        position=Position(1_500_000, "order/1", 3),
        sent=3,
        first_us=1_400_000,
        active_us=5,
        updated_us=1_600_000,
        paced_until_us=8,
        failed_steps=1,
        reason="r",
        lease_until_us=0,
    )
    saved = store.save(progress)
    assert saved == replace(progress, status=ReplayStatus.PAUSED)
    assert store.get(ID % 1) == saved


def test_progress_of_a_step_that_was_followed_by_another_is_refused(store: ReplayStore) -> None:
    store.create(replay())
    old = store.claim(replay(), until_us=7)
    assert old
    new = store.claim(old, until_us=9)
    assert store.save(replace(old, sent=9)) is None
    assert store.get(ID % 1) == new
    assert store.save(replay(97)) is None


def test_status_changes_only_from_what_was_seen(store: ReplayStore) -> None:
    store.create(replay())
    done = replace(replay(), status=ReplayStatus.COMPLETED, ended_us=5)
    assert store.change(done, before=replay()) == done
    cancelled = replace(replay(), status=ReplayStatus.CANCELLED)
    assert store.change(cancelled, before=replay()) is None
    store.create(replace(replay(), run=2))
    assert store.change(cancelled, before=replay()) is None


# --- the queue -------------------------------------------------------------------------------------------


def queued(number: int) -> Replay:
    return replace(replay(number), status=ReplayStatus.QUEUED)


@pytest.fixture(params=["memory", "dynamodb"])
def empty(request: pytest.FixtureRequest, dynamodb_endpoint: str) -> Iterator[ReplayStore]:
    if request.param == "memory":
        yield MemoryReplays()
        return
    client = dynamodb_client(dynamodb_endpoint)
    with replays_table(client) as name:
        yield DynamoDBReplays(client=client, table_name=name)


def test_queue_has_the_queued_replays_in_the_order_of_their_requests(empty: ReplayStore) -> None:
    assert empty.queue() == []
    empty.create(queued(3))
    empty.create(replace(queued(1), request_key="k"))
    empty.create(replace(queued(2), request_key="k"))  # the same once more
    empty.create(replay(4))  # running already
    assert empty.queue() == [ID % 3, ID % 1]
    assert empty.get(ID % 2) is None


def test_replay_that_is_queued_again_comes_last_unless_it_has_changed(empty: ReplayStore) -> None:
    for number in (1, 2):
        empty.create(queued(number))
    paused = empty.change(replace(queued(1), status=ReplayStatus.PAUSED), before=queued(1))
    assert paused
    assert empty.queue() == [ID % 1, ID % 2]
    again = replace(paused, status=ReplayStatus.QUEUED, run=2)
    assert empty.change(again, before=replace(paused, run=7)) is None
    assert empty.queue() == [ID % 1, ID % 2]
    assert empty.change(again, before=paused) == again
    assert empty.queue() == [ID % 1, ID % 2, ID % 1]
    assert empty.change(again, before=paused) is None
    assert empty.change(replace(again, replay_id=ID % 9), before=replace(paused, replay_id=ID % 9)) is None
    assert len(empty.queue()) == 3


def test_replay_leaves_the_queue_wherever_it_stands(empty: ReplayStore) -> None:
    for number in (1, 2, 3):
        empty.create(queued(number))
    again = empty.change(replace(queued(2), run=2), before=queued(2))
    empty.leave(ID % 2, seen=again)
    assert empty.queue() == [ID % 1, ID % 3]
    empty.leave(ID % 2, seen=again)
    empty.leave(ID % 3, seen=queued(3))
    assert empty.queue() == [ID % 1]


@pytest.mark.parametrize(
    "seen", [None, replace(queued(1), run=2), replace(queued(1), status=ReplayStatus.PAUSED)]
)
def test_replay_that_has_changed_since_stays_in_the_queue(empty: ReplayStore, seen: Replay | None) -> None:
    empty.create(queued(1))
    empty.leave(ID % 1, seen=seen)
    assert empty.queue() == [ID % 1]


def test_queue_that_is_full_takes_none(empty: ReplayStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("memory.replays", "dynamodb.replays"):
        monkeypatch.setattr(f"eventstore.{module}.REPLAYS_QUEUE_MAX", 2)
    paused = replace(replay(3), status=ReplayStatus.PAUSED)
    empty.create(paused)
    for number in (1, 2):
        empty.create(queued(number))
    for refused in (queued(4), replace(queued(5), request_key="k")):
        with pytest.raises(StoreUnavailable, match="replays run or wait already"):
            empty.create(refused)
        assert empty.get(refused.replay_id) is None
    with pytest.raises(StoreUnavailable, match="replays run or wait already"):
        empty.change(replace(paused, status=ReplayStatus.QUEUED, run=2), before=paused)
    assert empty.get(ID % 3) == paused
    empty.leave(ID % 1, seen=queued(1))
    assert empty.create(replace(queued(5), request_key="k")).replay_id == ID % 5


def test_those_who_come_and_go_at_once_lose_no_place(empty: ReplayStore) -> None:
    for number in range(10):
        empty.create(queued(number))

    def come_or_go(number: int) -> None:
        if number < 10:
            empty.leave(ID % number, seen=queued(number))
        else:
            empty.create(queued(number))

    with ThreadPoolExecutor(6) as executor:
        list(executor.map(come_or_go, [place + more for place in range(10) for more in (0, 10)]))
    for number in range(10):  # whoever found its place moved looks again
        empty.leave(ID % number, seen=queued(number))
    assert sorted(empty.queue()) == [ID % number for number in range(10, 20)]


def test_item_says_everything_and_names_its_schema() -> None:
    full = replace(
        replay(),
        from_us=0,
        events_per_second=5,
        ended_us=9,
        position=Position(1, "s", 1),
        first_us=1,
        reason="why",
        stream_prefix="a-",
    )
    item = item_from_replay(full)
    assert replay_from_item(item) == full
    of_replays, rest = (replay_schema.__doc__ or "").split("For each key of a caller")
    of_keys, of_queue = rest.split("One item has the queue")
    assert set(item) == set(re.findall(r"^(\w+) +[SN]  ", of_replays, re.MULTILINE))
    assert set(re.findall(r"^(\w+) +[SN]  ", of_keys, re.MULTILINE)) == {
        *(replay_schema.KIND, replay_schema.REPLAY_ID, replay_schema.KEY_OF)
    }
    assert set(re.findall(r"^(\w+) +[SL]  ", of_queue, re.MULTILINE)) == {
        *(replay_schema.KIND, replay_schema.REPLAY_ID, replay_schema.QUEUE)
    }


def test_item_of_a_version_that_knew_no_keys_is_read() -> None:
    item = item_from_replay(replay())
    del item["RequestKey"], item["RequestDigest"]
    assert replay_from_item(item) == replay()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("Target", None, "its Target is missing or no text"),
        ("Target", {"N": "1"}, "its Target is missing or no text"),
        ("ToUs", None, "its ToUs is missing or no number"),
        ("Sent", {"N": "1.5"}, "its Sent is 1.5; it has to be a whole number from 0 on"),
        ("Fence", {"N": "-1"}, "its Fence is -1; it has to be a whole number from 0 on"),
        ("FromUs", {"S": "1"}, "its FromUs is missing or no number"),
        ("Position", {"S": "here"}, "its Position is 'here'; it has to be one that a step has stored"),
        ("EventNames", {"S": "{"}, "its EventNames is '{'; it has to be a JSON array of names"),
        ("EventNames", {"S": "[1]"}, "its EventNames is '[1]'; it has to be a JSON array of names"),
        (
            replay_schema.STATUS,
            {"S": "lost"},
            "its ReplayStatus is 'lost'; it has to be one of queued, running",
        ),
        (replay_schema.STATUS, None, "its ReplayStatus is missing or no text"),
    ],
)
def test_item_that_somebody_has_changed_is_named_with_its_fault(
    name: str, value: dict[str, str] | None, reason: str
) -> None:
    item = item_from_replay(replay())
    item.pop(name, None)
    if value:
        item[name] = value
    with pytest.raises(MalformedReplay) as raised:
        replay_from_item(item)
    assert raised.value.replay_id == ID % 1
    assert raised.value.reason.startswith(reason)
