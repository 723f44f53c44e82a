"""The contract of `EventStore`: appends to several streams."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from eventstore import ANY, EXISTS, Append, EventStore
from eventstore.errors import VersionConflict
from eventstore.store import Expected
from eventstore.testing.store_contract import StoreContract, some_events


class TransactionsContract(StoreContract):
    """All or nothing, and once."""

    def test_transaction_appends_to_all_streams(self, store: EventStore) -> None:
        store.append("from", some_events(2), expected=0)

        left, right = store.transact(
            [Append("from", tuple(some_events(1)), 2), Append("to", tuple(some_events(2)), 0)]
        )

        assert (left.version, right.version) == (3, 2)
        assert store.head("from").version == 3
        assert tuple(store.read_stream("to")) == right.events

    @pytest.mark.parametrize("expected", [0, 2, EXISTS])
    def test_transaction_with_one_conflict_writes_nothing(
        self, store: EventStore, expected: Expected
    ) -> None:
        store.append("from", some_events(1), expected=0)
        stream_id = "from" if expected != EXISTS else "nowhere"

        with pytest.raises(VersionConflict) as caught:
            store.transact(
                [Append("to", tuple(some_events(2)), 0), Append(stream_id, tuple(some_events(1)), expected)]
            )

        assert caught.value.stream_id == stream_id
        assert store.head("to").version == 0
        assert store.head("from").version == 1

    def test_transaction_again_with_the_same_uids_answers_as_the_first_time(self, store: EventStore) -> None:
        appends = [
            Append("from", tuple(some_events(2, with_uids=True)), ANY),
            Append("to", tuple(some_events(1, with_uids=True)), 0),
        ]
        first = store.transact(appends)
        store.append("from", some_events(3), expected=ANY)
        store.append("to", some_events(3), expected=ANY)

        again = store.transact(appends)

        assert [appended.events for appended in again] == [appended.events for appended in first]
        assert all(appended.repeated for appended in again)
        assert (store.head("from").version, store.head("to").version) == (5, 4)

    def test_racing_transactions_over_the_same_streams_win_once(self, store: EventStore) -> None:
        def write(n: int) -> bool:
            streams = ("left", "right") if n % 2 else ("right", "left")
            try:
                store.transact([Append(stream, tuple(some_events(2)), 0) for stream in streams])
            except VersionConflict:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            wins = list(pool.map(write, range(8)))

        assert sum(wins) == 1
        assert (store.head("left").version, store.head("right").version) == (2, 2)
