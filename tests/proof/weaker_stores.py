"""The store with one defence less: what its clients must be seen to suffer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from eventstore import Event, NewEvent
from eventstore._checks import stamp
from eventstore._repeats import Wanted
from eventstore.dynamodb.items import event_from_item, item_from_event
from eventstore.dynamodb.raw_items import DynamoDBEventsTable
from eventstore.dynamodb.requests import SlotsTaken, send
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.dynamodb.stream_query import StreamQuery
from eventstore.errors import PartlyAppended, StoreUnavailable
from eventstore.store import Append, Appended


class WithoutCondition(DynamoDBEventStore):
    """Puts events wherever it takes their place to be."""

    def _write(self, events: list[Event], *_: object) -> None:
        for event in events:
            item = item_from_event(event, shard=self._random_shard(self._deployed_shards or 1))
            send(self._client.put_item, TableName=self._table_name, Item=item)


class ImportsWithoutCondition(DynamoDBEventsTable):
    """Puts an imported event at its place, whatever is there."""

    def put(self, event: Event, *, shard: int) -> None:
        send(self._client.put_item, TableName=self._table_name, Item=item_from_event(event, shard=shard))


class WithoutUids(DynamoDBEventStore):
    """Forgets the uids that its clients give their events."""

    def transact(self, appends: Sequence[Append]) -> tuple[Appended, ...]:
        def anew(event: NewEvent) -> NewEvent:
            return replace(event, uid=None)

        return super().transact(
            [replace(append, events=tuple(map(anew, append.events))) for append in appends]
        )


class KnowsNoOwnWrites(DynamoDBEventStore):
    """Takes its own event, written by a try whose answer got lost, for somebody else's."""

    def _look_at_taken(self, wanted: list[Wanted], items: list[Any]) -> Any:
        blind = [replace(one, uids=["none"] * len(one.uids), seen={}) for one in wanted]
        conflict = super()._look_at_taken(blind, items)
        for one, other in zip(wanted, blind, strict=True):
            one.head = other.head
        return conflict


class TriesAnew(DynamoDBEventStore):
    """Takes a write whose answer got lost for one that was never done: it looks for a new place."""

    def _try(self, call: Any) -> Any:
        call.is_placed = False
        return super()._try(call)

    def _find_last(self, wanted: Wanted) -> None:
        wanted.head = self.head(wanted.append.stream_id)


class OneByOne(DynamoDBEventStore):
    """Writes the events of an append one after the other, each under its condition."""

    def _write(self, events: list[Event], previous_us: Mapping[tuple[str, int], int]) -> None:
        for place, event in enumerate(events):
            try:
                super()._write([event], previous_us)
            except SlotsTaken as taken:
                behind = len(events) - place - 1
                raise SlotsTaken([None] * place + taken.items + [None] * behind) from taken


class TakesGaps(DynamoDBEventStore):
    """Takes what a query returns for all that there is."""

    def _query_events(self, stream: StreamQuery, request: dict[str, Any]) -> Iterator[Event]:
        while not stream.ended:
            answer = self._query(**request, **stream.request())
            yield from map(event_from_item, answer["Items"])
            stream.left -= len(answer["Items"]) if stream.left > 0 else 0
            stream._key = answer.get("LastEvaluatedKey")
            stream.ended = not stream._key or stream.left == 0


class BelievesEverySuccess(DynamoDBEventStore):
    """Takes a write for done when something answers 200."""

    def _write(self, events: list[Event], previous_us: Mapping[tuple[str, int], int]) -> None:
        try:
            super()._write(events, previous_us)
        except StoreUnavailable as error:
            if not error.reason.startswith("the answer "):
                raise


class GoesByCodes(DynamoDBEventStore):
    """Takes a refusal for lasting whose code it doesn't know, whatever its status is."""

    def _write(self, events: list[Event], previous_us: Mapping[tuple[str, int], int]) -> None:
        try:
            super()._write(events, previous_us)
        except StoreUnavailable as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"].isdecimal():
                raise cause from None
            raise


class SearchesNoUids(DynamoDBEventStore):
    """Appends to any version behind the head, whatever is there."""

    def _find_last(self, wanted: Wanted) -> None:
        if wanted.head is None:
            wanted.head = self.head(wanted.append.stream_id)
        else:
            super()._find_last(wanted)


class LooksAtNoVersion(DynamoDBEventStore):
    """Takes the event at the version that's given for somebody else's."""

    def _find_event(self, wanted: Wanted, expected: int) -> None:
        super()._find_event(wanted, expected)
        wanted.seen.clear()


class WritesTheRest(DynamoDBEventStore):
    """Takes an append that's known in part for a new one."""

    def _answer(self, call: Any) -> tuple[Appended, ...]:
        try:
            return super()._answer(call)
        except PartlyAppended:
            for one in call.wanted:
                one.seen.clear()
                one.head = self.head(one.append.stream_id)
            now_us = self._clock_us()
            events = [stamp(one.append, head=one.head, now_us=now_us, uids=one.uids) for one in call.wanted]
            self._write([event for of in events for event in of], {})
            return tuple(Appended(of[0].stream_id, of, repeated=False) for of in events)


class ReadsAnOldCopy(DynamoDBEventStore):
    """Reads a stream as it was when it first read it."""

    def read_stream(self, stream_id: str, **options: Any) -> Iterator[Event]:
        copies = self.__dict__.setdefault("copies", {})
        whole = copies.get(stream_id) or list(super().read_stream(stream_id))
        copies[stream_id] = whole
        return iter(whole) if not options else super().read_stream(stream_id, **options)


class ReadsUnsettled(DynamoDBEventStore):
    """Takes what it reads for all that there will be."""

    def read_all(self, **options: Any) -> Any:
        return super().read_all(**{**options, "unsettled": True})


def compares_nothing(_new: NewEvent, _stored: Event) -> None:
    """Take an event for the one that has its uid."""


def knows_no_command(_folded: object, _new_events: Sequence[NewEvent], **_: object) -> None:
    """Take what was decided for new."""


def reads_one_shard(_facts: object, **_: bool) -> int:
    """Read one shard, as a reader that doesn't ask the store."""
    return 1


def waits_for_no_reader(copy: Any, *, now: object) -> int:
    """Write to new shards at once."""
    return int(copy.read_shards)


def takes_any_client(_client: object, **_: object) -> None:
    """Take a client, whatever it does by itself."""
