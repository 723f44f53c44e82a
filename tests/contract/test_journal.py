"""The journal on DynamoDB Local: what one process tells, others know; and what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

import pytest

from eventstore.dynamodb.journal import DynamoDBJournal
from eventstore.errors import StoreUnavailable
from eventstore.limits import JOURNAL_MAX_PAGES, JOURNAL_OVERLAP_S, JOURNAL_S
from tests.tables import Meter, dynamodb_client, journal_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOON_US = 1_769_860_800_000_000


class Processes:
    """Processes that share a journal's table, each with a clock of its own."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self.client, self.table_name = client, table_name
        self.now_us = NOON_US
        self.meter = Meter.on(client)
        self._numbers = count()

    def begin(self, *, consumer: str = "publish", ahead_s: float = 0.0) -> DynamoDBJournal:
        return DynamoDBJournal(
            client=self.client,
            table_name=self.table_name,
            consumer=consumer,
            clock_us=lambda: self.now_us + round(ahead_s * 1_000_000),
            random_bytes=lambda size: next(self._numbers).to_bytes(size, "big"),
        )

    def wait(self, pause_s: float) -> None:
        self.now_us += round(pause_s * 1_000_000)
        self.meter.reset()


@pytest.fixture
def processes(dynamodb_endpoint: str) -> Iterator[Processes]:
    client = dynamodb_client(dynamodb_endpoint)
    with journal_table(client) as table_name:
        yield Processes(client, table_name)


def test_what_one_process_tells_all_others_of_its_consumer_know(processes: Processes) -> None:
    mine, others, elsewhere = processes.begin(), processes.begin(), processes.begin(consumer="log")
    assert mine.published(["a"]) == {}
    others.add({"a": 3, "é": 1})
    assert mine.published(["a", "é", "b"]) == {"a": 3, "é": 1}
    assert others.published(["a"]) == {"a": 3}
    assert elsewhere.published(["a"]) == {}
    others.add({"a": 4})
    assert mine.published(["a"]) == {"a": 4}


def test_lower_number_that_comes_late_takes_nothing_back(processes: Processes) -> None:
    journal = processes.begin()
    journal.add({"a": 9})
    journal.add({"a": 2})
    assert processes.begin().published(["a"]) == {"a": 9}


def test_only_what_was_told_lately_is_known(processes: Processes) -> None:
    journal = processes.begin()
    journal.add({"a": 1})
    processes.wait(JOURNAL_S)
    assert journal.published(["a"]) == processes.begin().published(["a"]) == {"a": 1}
    processes.wait(0.000_001)
    assert journal.published(["a"]) == processes.begin().published(["a"]) == {}


def test_process_whose_clock_is_ahead_hides_nobody_elses(processes: Processes) -> None:
    mine = processes.begin()
    processes.begin(ahead_s=60).add({"a": 1})
    assert mine.published(["a"]) == {"a": 1}
    processes.begin(ahead_s=-JOURNAL_OVERLAP_S).add({"b": 1})
    assert mine.published(["b"]) == {"b": 1}


def test_stream_with_more_events_than_an_entry_holds_is_not_told(processes: Processes) -> None:
    journal = processes.begin()
    journal.add({"a": 2**32 - 1, "b": 2**32})
    assert journal.published(["a", "b"]) == {"a": 2**32 - 1}
    processes.wait(0)
    journal.add({"b": 2**32})
    assert processes.meter.requests == []


def test_table_that_is_not_there_is_an_error_that_stops_nobody(processes: Processes) -> None:
    processes.table_name = "elsewhere"
    journal = processes.begin()
    with pytest.raises(StoreUnavailable, match="ResourceNotFoundException"):
        journal.add({"a": 1})
    with pytest.raises(StoreUnavailable, match="ResourceNotFoundException"):
        journal.published(["a"])


def test_batch_of_100_streams_costs_one_put_and_one_unit(processes: Processes) -> None:
    processes.wait(0)
    processes.begin().add({f"order-{number:036}": 10**6 + number for number in range(100)})
    assert (processes.meter.requests, processes.meter.table_units) == (["PutItem"], 1.0)


def test_look_costs_a_query_and_what_is_new_since_the_last_one(processes: Processes) -> None:
    mine, others = processes.begin(), processes.begin()
    processes.wait(0)
    assert mine.published(["a"]) == {}
    assert processes.meter.requests == ["Query"]
    assert processes.meter.table_units <= 1.0
    for batch in range(40):
        others.add({f"order-{batch}-{number}": 1 for number in range(100)})
    processes.wait(0)
    assert mine.published(["order-39-99"]) == {"order-39-99": 1}
    assert processes.meter.requests == ["Query"]
    assert 9.0 <= processes.meter.table_units <= 10.0
    processes.wait(JOURNAL_OVERLAP_S + 0.1)
    mine.published(["a"])
    others.add({"a": 1})
    processes.wait(0)
    assert mine.published(["a", "order-39-99"]) == {"a": 1, "order-39-99": 1}
    assert (processes.meter.requests, processes.meter.table_units) == (["Query"], 1.0)


def test_look_ends_after_a_number_of_pages(processes: Processes) -> None:
    others = processes.begin()
    large = {f"order-{number}": 1 for number in range(40_000)}
    for batch in range(4 * JOURNAL_MAX_PAGES):
        others.add(large | {f"last-{batch}": 1})
    processes.wait(0)
    known = processes.begin().published([f"last-{batch}" for batch in range(4 * JOURNAL_MAX_PAGES)])
    assert processes.meter.requests == ["Query"] * JOURNAL_MAX_PAGES
    assert 2 * JOURNAL_MAX_PAGES <= len(known) < 4 * JOURNAL_MAX_PAGES
