"""The store's defences taken away, one by one: the proof has to report what follows, or it proves nothing."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest

from tests.proof.taken_away import WRITES, Less, is_reported
from tests.proof.weaker_stores import (
    BelievesEverySuccess,
    GoesByCodes,
    ImportsWithoutCondition,
    KnowsNoOwnWrites,
    LooksAtNoVersion,
    OneByOne,
    ReadsAnOldCopy,
    SearchesNoUids,
    TakesGaps,
    TriesAnew,
    WithoutCondition,
    WithoutUids,
    WritesTheRest,
    compares_nothing,
    knows_no_command,
    reads_one_shard,
    takes_any_client,
    waits_for_no_reader,
)
from tests.proof.wire import Faults

OTHERWISE = replace(WRITES, faults=Faults(otherwise=0.8))

CASES = {
    "append condition": Less(replace(WRITES, store_type=WithoutCondition), "lost: append", 1),
    "condition of an import": Less(replace(WRITES, table_type=ImportsWithoutCondition), "lost: append", 1),
    "idempotency by uid": Less(
        replace(WRITES, store_type=WithoutUids, faults=Faults(kills_after=0.1)), "twice: append", 4
    ),
    "own writes known": Less(
        replace(WRITES, store_type=KnowsNoOwnWrites, faults=Faults(lost_answers=0.15)), "conflict: append", 1
    ),
    "same place after a lost answer": Less(
        replace(WRITES, store_type=TriesAnew, faults=Faults(lost_answers=0.2, transactions_in_the_way=0.2)),
        "twice: append",
        2,
    ),
    "one transaction": Less(replace(WRITES, store_type=OneByOne), "torn: append", 1),
    "one order over streams": Less(replace(WRITES, store_type=OneByOne), "cycle: appends", 4),
    "gaps": Less(
        replace(WRITES, store_type=TakesGaps, faults=Faults(half_visible=1.0, half_visible_s=2.0)),
        "changed: a read",
        1,
    ),
    "answers of others": Less(
        replace(WRITES, store_type=BelievesEverySuccess, faults=Faults(strange_answers=0.1)),
        "lost: append",
        3,
    ),
    "status before code": Less(
        replace(WRITES, store_type=GoesByCodes, faults=Faults(strange_answers=0.1)), "refused: append", 1
    ),
    "search for uids": Less(replace(OTHERWISE, store_type=SearchesNoUids), "twice: append", 1),
    "look at the version given": Less(replace(OTHERWISE, store_type=LooksAtNoVersion), "twice: append", 3),
    "appends known in part": Less(replace(OTHERWISE, store_type=WritesTheRest), "twice: append", 1),
    "clocks compared": Less(
        replace(WRITES, compares_clocks=False, faults=Faults(wrong_clocks=0.1)),
        "lost: a reader of all events",
        4,
    ),
    "readers' clocks compared": Less(
        replace(WRITES, compares_clocks=False, faults=Faults(wrong_clocks=0.0, wrong_readers_clocks=0.1)),
        "lost: a reader of all events",
        3,
    ),
    "strong reads": Less(replace(WRITES, store_type=ReadsAnOldCopy), "stale: a read", 1),
    "settling": Less(replace(WRITES, reads_unsettled=True), "lost: a reader of all events", 1),
    "readers ask the store for its shards": Less(
        WRITES,
        "lost: a reader of all events",
        1,
        replaced="eventstore.dynamodb.facts.StoreFacts.read_shards",
        by=reads_one_shard,
    ),
    "writers wait until readers know new shards": Less(
        WRITES,
        "lost: a reader of all events",
        3,
        replaced="eventstore.dynamodb.store_item.Copy.known_to_all",
        by=waits_for_no_reader,
    ),
    "clients that send a write again are refused": Less(
        replace(WRITES, appends=12, faults=Faults(patient_clients=1.0, throttled_writes=0.6)),
        "lost: a reader of all events",
        5,
        replaced="eventstore.dynamodb.store.check_client",
        by=takes_any_client,
    ),
    "known uids compared": Less(
        OTHERWISE, "known: uids", 1, replaced="eventstore._repeats._check_same", by=compares_nothing
    ),
}


@pytest.mark.parametrize("less", CASES.values(), ids=CASES)
def test_defence_taken_away_is_seen(dynamodb_endpoint: str, less: Less) -> None:
    assert is_reported(dynamodb_endpoint, less)


def test_commands_that_are_not_known_are_done_twice(
    dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By its module, since the package has a function of that name.
    folded = import_module("eventstore.decisions.execute").Folded
    monkeypatch.setattr(folded, "stored", knows_no_command)
    assert is_reported(dynamodb_endpoint, Less(WRITES, "twice: append", 1))


def test_heads_from_before_a_restore_that_are_not_compared_leave_a_gap(
    dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = import_module("eventstore.decisions.execute").Folded
    makes = folded.__init__

    def sees_its_head(self: Any, *args: Any) -> None:
        makes(self, *args)
        self._is_head_seen, self._first_id = True, self.head.version + 1

    monkeypatch.setattr(folded, "__init__", sees_its_head)
    assert is_reported(dynamodb_endpoint, Less(replace(WRITES, restores=True), "version: ", 1))


def test_events_after_a_restore_without_an_epoch_have_ids_of_lost_ones(
    dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.dynamodb.facts.StoreFacts.epoch_us", None)
    assert is_reported(dynamodb_endpoint, Less(replace(WRITES, restores=True), "identity: ", 1))
