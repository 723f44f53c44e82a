"""Checkpoints, leases and parked events in the subscriptions table."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from eventstore.adapters.dynamodb import subscription_schema as schema
from eventstore.adapters.dynamodb.requests import Busy, SlotsTaken, checked, send
from eventstore.arguments import check_functions, check_text
from eventstore.errors import LeaseLost, StoreUnavailable, TranchesChanged, UnexpectedItem
from eventstore.log import BlockPosition
from eventstore.subscriptions.checkpoints import Group, Lease, ParkedEvent, Start

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_NAMES: Final = {
    "#checkpoint": schema.CHECKPOINT,
    "#counter": schema.COUNTER,
    "#fence": schema.FENCE,
    "#item": schema.ITEM,
    "#owner": schema.OWNER,
    "#event": schema.STARTED_EVENT,
    "#starts": schema.STARTS,
    "#stream": schema.STARTED_STREAM,
}
_ONE: Final = {":one": {"N": "1"}}
# A lease deleted and made again begins with its fence anew: only with the owner it's known to be the same.
_HELD: Final = "#fence = :fence AND #owner = :owner"
_MAX_TRIES: Final = 5

_OPERATIONS: Final = ("delete_item", "put_item", "query", "transact_write_items", "update_item")


class DynamoDBCheckpoints:
    """`Checkpoints` in the table that `subscription_schema` describes; safe to use from several threads.

    Args:
        client: boto3's DynamoDB client, best made with `client.dynamodb_client`.
        table_name: the subscriptions table of the deployed stack.
        jitter, sleep: chance and time, to be replaced in tests.
    """

    def __init__(
        self,
        *,
        client: DynamoDBClient,
        table_name: str,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        check_text(table_name, "table_name")
        check_functions(jitter=jitter, sleep=sleep)
        self._client = checked(client, *_OPERATIONS)
        self._table_name = table_name
        self._jitter = jitter
        self._sleep = sleep

    def read_group(self, subscription: str) -> Group:
        """Read all leases and workers; see `Checkpoints.read_group`."""
        leases: dict[int, Lease] = {}
        workers: dict[str, int] = {}
        tranches = 0
        for item in self._query(subscription, schema.GROUP_PREFIX):
            if item[schema.ITEM]["S"].startswith(schema.LEASE_PREFIX):
                lease = _lease_of(item)
                leases[lease.tranche] = lease
                tranches = max(tranches, int(item[schema.TRANCHES]["N"]))
            else:
                worker = item[schema.ITEM]["S"].removeprefix(schema.WORKER_PREFIX)
                workers[worker] = int(item[schema.COUNTER]["N"])
        return Group(leases, workers, tranches)

    def begin(self, subscription: str, places: Sequence[BlockPosition]) -> None:
        """Make the free leases of a subscription; see `Checkpoints.begin`."""
        for tranche, place in enumerate(places):
            item = {
                **_lease_key(subscription, tranche),
                schema.TRANCHE: {"N": str(tranche)},
                schema.TRANCHES: {"N": str(len(places))},
                schema.CHECKPOINT: _place_text(place),
                schema.FENCE: {"N": "0"},
                schema.COUNTER: {"N": "0"},
            }
            try:
                self._send(
                    self._client.put_item,
                    Item=item,
                    ConditionExpression=f"attribute_not_exists({schema.SUBSCRIPTION})",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except SlotsTaken as taken:
                begun_with = int((taken.items[0] or item)[schema.TRANCHES]["N"])
                if begun_with != len(places):
                    raise TranchesChanged(begun_with=begun_with, given=len(places)) from taken

    def take(self, subscription: str, lease: Lease, *, owner: str) -> Lease | None:
        """Make a worker the owner of a lease; see `Checkpoints.take`."""
        try:
            answer = self._update(
                subscription,
                lease,
                update="SET #owner = :owner, #fence = #fence + :one, #counter = #counter + :one",
                condition="#fence = :fence AND #counter = :counter",
                values={":owner": {"S": owner}, ":counter": {"N": str(lease.counter)}, **_ONE},
            )
        except SlotsTaken as taken:
            there = _lease_of(taken.items[0]) if taken.items[0] else None
            # A first try of this request, whose answer got lost, took it.
            ours = there and (there.owner, there.fence) == (owner, lease.fence + 1)
            return there if ours else None
        return _lease_of(answer["Attributes"])

    def renew(
        self, subscription: str, lease: Lease, *, place: BlockPosition, start: Start | None = None
    ) -> Lease:
        """Raise a lease's counter and store its checkpoint; see `Checkpoints.renew`."""
        return self._move(subscription, lease, place, start, removed=())

    def release(
        self, subscription: str, lease: Lease, *, place: BlockPosition, start: Start | None = None
    ) -> None:
        """Store the checkpoint a last time and free the lease; see `Checkpoints.release`."""
        self._move(subscription, lease, place, start, removed=("#owner",))

    def join(self, subscription: str, worker: str, *, session: str, is_first: bool) -> bool:
        """Raise a worker's counter; see `Checkpoints.join`."""
        request: dict[str, Any] = {
            "Key": _key(subscription, schema.WORKER_PREFIX + worker),
            "UpdateExpression": "SET #session = :session ADD #counter :one",
            "ExpressionAttributeNames": {"#counter": schema.COUNTER, "#session": schema.SESSION},
            "ExpressionAttributeValues": {":session": {"S": session}, **_ONE},
        }
        if not is_first:
            request["ConditionExpression"] = "attribute_not_exists(#session) OR #session = :session"
        try:
            self._send(self._client.update_item, **request)
        except SlotsTaken:
            return False
        return True

    def leave(self, subscription: str, worker: str, *, counter: int | None = None) -> None:
        """Forget a worker; see `Checkpoints.leave`."""
        request: dict[str, Any] = {"Key": _key(subscription, schema.WORKER_PREFIX + worker)}
        if counter is not None:
            request["ConditionExpression"] = "#counter = :counter"
            request["ExpressionAttributeNames"] = {"#counter": schema.COUNTER}
            request["ExpressionAttributeValues"] = {":counter": {"N": str(counter)}}
        try:
            self._send(self._client.delete_item, **request)
        except SlotsTaken:
            return  # it's there again, or gone: either is as it should be

    def park(self, subscription: str, lease: Lease, parked: ParkedEvent) -> None:
        """Put an event aside; see `Checkpoints.park`."""
        check = {
            "TableName": self._table_name,
            "Key": _lease_key(subscription, lease.tranche),
            "ConditionExpression": _HELD,
            "ExpressionAttributeNames": {"#fence": schema.FENCE, "#owner": schema.OWNER},
            "ExpressionAttributeValues": {":fence": {"N": str(lease.fence)}, **_owner(lease)},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        item = {
            **_key(subscription, _parked_item(parked)),
            schema.STREAM_ID: {"S": parked.stream_id},
            schema.EVENT_ID: {"N": str(parked.event_id)},
            schema.TRANCHE: {"N": str(parked.tranche)},
            schema.REASON: {"S": parked.reason},
            schema.PARKED_AT: {"N": str(parked.parked_at_us)},
            **({schema.TRACEBACK: {"S": parked.traceback}} if parked.traceback else {}),
        }
        transaction = [{"ConditionCheck": check}, {"Put": {"TableName": self._table_name, "Item": item}}]
        for attempt in range(_MAX_TRIES):
            try:
                send(self._client.transact_write_items, TransactItems=transaction)
                return
            except SlotsTaken as taken:
                raise _lost(subscription, lease, taken) from taken
            except Busy:
                self._sleep(0.02 * 2**attempt * self._jitter())
        raise StoreUnavailable(operation="park", reason=f"the lease was busy {_MAX_TRIES} times")

    def read_parked(self, subscription: str, *, tranche: int | None = None) -> Iterator[ParkedEvent]:
        """Read what is parked; see `Checkpoints.read_parked`."""
        of_tranche = "" if tranche is None else f"{tranche:04d}#"
        for item in self._query(subscription, schema.PARKED_PREFIX + of_tranche):
            yield ParkedEvent(
                tranche=int(item[schema.TRANCHE]["N"]),
                stream_id=item[schema.STREAM_ID]["S"],
                event_id=int(item[schema.EVENT_ID]["N"]),
                reason=item[schema.REASON]["S"],
                parked_at_us=int(item[schema.PARKED_AT]["N"]),
                traceback=item[schema.TRACEBACK]["S"] if schema.TRACEBACK in item else "",
            )

    def unpark(self, subscription: str, parked: ParkedEvent) -> None:
        """Forget a parked event; see `Checkpoints.unpark`."""
        self._send(self._client.delete_item, Key=_key(subscription, _parked_item(parked)))

    def _move(
        self,
        subscription: str,
        lease: Lease,
        place: BlockPosition,
        start: Start | None,
        *,
        removed: tuple[str, ...],
    ) -> Lease:
        set_also, values = "", {":place": _place_text(place), **_owner(lease), **_ONE}
        if start:
            set_also = ", #stream = :stream, #event = :event, #starts = :starts"
            values |= {
                ":stream": {"S": start.stream_id},
                ":event": {"N": str(start.event_id)},
                ":starts": {"N": str(start.count)},
            }
        else:
            removed = (*removed, "#stream", "#event", "#starts")
        try:
            answer = self._update(
                subscription,
                lease,
                update=f"SET #checkpoint = :place, #counter = #counter + :one{set_also}"
                + (f" REMOVE {', '.join(removed)}" if removed else ""),
                condition=_HELD,
                values=values,
            )
        except SlotsTaken as taken:
            raise _lost(subscription, lease, taken) from taken
        return _lease_of(answer["Attributes"])

    def _update(
        self, subscription: str, lease: Lease, *, update: str, condition: str, values: dict[str, Any]
    ) -> Any:
        answer = self._send(
            self._client.update_item,
            Key=_lease_key(subscription, lease.tranche),
            UpdateExpression=update,
            ConditionExpression=condition,
            ExpressionAttributeNames={
                name: attribute for name, attribute in _NAMES.items() if name in update + condition
            },
            ExpressionAttributeValues={":fence": {"N": str(lease.fence)}, **values},
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        _check_key(answer["Attributes"], subscription, f"{schema.LEASE_PREFIX}{lease.tranche:04d}")
        return answer

    def _query(self, subscription: str, prefix: str) -> Iterator[dict[str, Any]]:
        request: dict[str, Any] = {
            "KeyConditionExpression": f"{schema.SUBSCRIPTION} = :name AND begins_with(#item, :prefix)",
            "ExpressionAttributeNames": {"#item": schema.ITEM},
            "ExpressionAttributeValues": {":name": {"S": subscription}, ":prefix": {"S": prefix}},
            "ConsistentRead": True,
        }
        while True:
            answer = self._send(self._client.query, **request)
            for item in answer["Items"]:
                _check_key(item, subscription, prefix)
                yield item
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _send(self, operation: Callable[..., Any], **request: Any) -> Any:
        return send(operation, TableName=self._table_name, **request)


def _key(subscription: str, item: str) -> dict[str, Any]:
    return {schema.SUBSCRIPTION: {"S": subscription}, schema.ITEM: {"S": item}}


def _check_key(item: dict[str, Any], subscription: str, prefix: str) -> None:
    """Raise UnexpectedItem for an item of another subscription or kind."""
    key = (item[schema.SUBSCRIPTION]["S"], item[schema.ITEM]["S"])
    if key[0] != subscription or not key[1].startswith(prefix):
        raise UnexpectedItem(asked=f"{subscription!r}, {prefix}...", answered=str(key))


def _lease_key(subscription: str, tranche: int) -> dict[str, Any]:
    return _key(subscription, f"{schema.LEASE_PREFIX}{tranche:04d}")


def _parked_item(parked: ParkedEvent) -> str:
    # A stream id can be as long as a whole sort key.
    stream = hashlib.sha256(parked.stream_id.encode()).hexdigest()[:32]
    return f"{schema.PARKED_PREFIX}{parked.tranche:04d}#{stream}#{parked.event_id:016d}"


def _place_text(place: BlockPosition) -> dict[str, Any]:
    return {"S": f"{place.block}.{place.entries}"}


def _owner(lease: Lease) -> dict[str, Any]:
    # Nobody has the empty id: of a free lease nothing is stored.
    return {":owner": {"S": lease.owner or ""}}


def _lost(subscription: str, lease: Lease, taken: SlotsTaken) -> LeaseLost:
    there = taken.items[0]
    taken_by = there[schema.OWNER]["S"] if there and schema.OWNER in there else ""
    return LeaseLost(subscription=subscription, tranche=lease.tranche, taken_by=taken_by if there else None)


def _lease_of(item: dict[str, Any]) -> Lease:
    block, entries = item[schema.CHECKPOINT]["S"].split(".")
    return Lease(
        tranche=int(item[schema.TRANCHE]["N"]),
        place=BlockPosition(int(block), int(entries)),
        owner=item[schema.OWNER]["S"] if schema.OWNER in item else None,
        fence=int(item[schema.FENCE]["N"]),
        counter=int(item[schema.COUNTER]["N"]),
        start=Start(
            item[schema.STARTED_STREAM]["S"],
            int(item[schema.STARTED_EVENT]["N"]),
            int(item[schema.STARTS]["N"]),
        )
        if schema.STARTS in item
        else None,
    )
