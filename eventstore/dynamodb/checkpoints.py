"""Checkpoints, leases and parked events in the subscriptions table."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from eventstore._arguments import check_functions, check_text
from eventstore._backoff import Backoff
from eventstore.dynamodb import subscription_items as items
from eventstore.dynamodb.requests import Busy, SlotsTaken, checked, send
from eventstore.dynamodb.schema import subscriptions as schema
from eventstore.errors import LeaseLost, StoreUnavailable, TranchesChanged
from eventstore.log.model import BlockPosition
from eventstore.subscriptions.checkpoints import Group, Lease, ParkedEvent, Start

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_NAMES: Final = {
    "#checkpoint": schema.CHECKPOINT,
    "#counter": schema.COUNTER,
    "#fence": schema.FENCE,
    "#horizon": schema.HORIZON,
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
_BACKOFF: Final = Backoff(0.02)

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
            if items.is_lease(item):
                lease, of = items.lease_of(item), items.tranches_of(item)
                if of != (tranches or of):
                    raise items.malformed(
                        item,
                        f"its {schema.TRANCHES} is {of}, that of the lease before it {tranches}",
                        items.OF_A_LEASE,
                    )
                leases[lease.tranche], tranches = lease, of
            else:
                worker, counter = items.worker_of(item)
                workers[worker] = counter
        return Group(leases, workers, tranches)

    def begin(
        self, subscription: str, places: Sequence[BlockPosition], *, since_us: int = 0, log_id: str = ""
    ) -> None:
        """Make the free leases of a subscription; see `Checkpoints.begin`."""
        for tranche, place in enumerate(places):
            item = {
                **items.lease_key(subscription, tranche),
                schema.TRANCHE: {"N": str(tranche)},
                schema.TRANCHES: {"N": str(len(places))},
                schema.CHECKPOINT: items.place_text(place),
                schema.FENCE: {"N": "0"},
                schema.COUNTER: {"N": "0"},
                schema.HORIZON: {"N": "0"},
                schema.SINCE: {"N": str(since_us)},
                schema.LOG_ID: {"S": log_id},
            }
            try:
                self._send(
                    self._client.put_item,
                    Item=item,
                    ConditionExpression=f"attribute_not_exists({schema.SUBSCRIPTION})",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except SlotsTaken as taken:
                begun_with = items.tranches_of(taken.items[0] or item)
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
            there = items.lease_of(taken.items[0]) if taken.items[0] else None
            # A first try of this request, whose answer got lost, took it.
            ours = there and (there.owner, there.fence) == (owner, lease.fence + 1)
            return there if ours else None
        return items.lease_of(answer["Attributes"])

    def renew(
        self,
        subscription: str,
        lease: Lease,
        *,
        place: BlockPosition,
        start: Start | None = None,
        horizon_us: int | None = None,
    ) -> Lease:
        """Raise a lease's counter and store its checkpoint; see `Checkpoints.renew`."""
        return self._move(subscription, lease, place, start, horizon_us, removed=())

    def release(
        self,
        subscription: str,
        lease: Lease,
        *,
        place: BlockPosition,
        start: Start | None = None,
        horizon_us: int | None = None,
    ) -> None:
        """Store the checkpoint a last time and free the lease; see `Checkpoints.release`."""
        self._move(subscription, lease, place, start, horizon_us, removed=("#owner",))

    def join(self, subscription: str, worker: str, *, session: str, is_first: bool) -> bool:
        """Raise a worker's counter; see `Checkpoints.join`."""
        request: dict[str, Any] = {
            "Key": items.key(subscription, schema.WORKER_PREFIX + worker),
            "UpdateExpression": "SET #session = :session ADD #counter :one",
            "ExpressionAttributeNames": {"#counter": schema.COUNTER, "#session": schema.SESSION},
            "ExpressionAttributeValues": {":session": {"S": session}, **_ONE},
        }
        if not is_first:
            request["ConditionExpression"] = "attribute_not_exists(#session) OR #session = :session"
        try:
            self._send_update(subscription, **request)
        except SlotsTaken:
            return False
        return True

    def leave(self, subscription: str, worker: str, *, counter: int | None = None) -> None:
        """Forget a worker; see `Checkpoints.leave`."""
        request: dict[str, Any] = {"Key": items.key(subscription, schema.WORKER_PREFIX + worker)}
        if counter is not None:
            request["ConditionExpression"] = "#counter = :counter"
            request["ExpressionAttributeNames"] = {"#counter": schema.COUNTER}
            request["ExpressionAttributeValues"] = {":counter": {"N": str(counter)}}
        try:
            self._send(self._client.delete_item, **request)
        except SlotsTaken:
            return  # it's there again, or gone: either is as it should be

    def park(
        self, subscription: str, lease: Lease, parked: ParkedEvent, *, behind: int | None = None
    ) -> bool:
        """Put an event aside; see `Checkpoints.park`."""
        check = {
            "TableName": self._table_name,
            "Key": items.lease_key(subscription, lease.tranche),
            "ConditionExpression": _HELD,
            "ExpressionAttributeNames": {"#fence": schema.FENCE, "#owner": schema.OWNER},
            "ExpressionAttributeValues": {":fence": {"N": str(lease.fence)}, **_owner(lease)},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        item = {
            **items.key(subscription, items.parked_item(parked)),
            schema.STREAM_ID: {"S": parked.stream_id},
            schema.EVENT_ID: {"N": str(parked.event_id)},
            schema.TRANCHE: {"N": str(parked.tranche)},
            schema.REASON: {"S": parked.reason},
            schema.PARKED_AT: {"N": str(parked.parked_at_us)},
            **({schema.TRACEBACK: {"S": parked.traceback}} if parked.traceback else {}),
        }
        transaction = [{"ConditionCheck": check}, {"Put": {"TableName": self._table_name, "Item": item}}]
        if behind not in {None, parked.event_id}:
            there = {
                "TableName": self._table_name,
                "Key": items.key(subscription, items.parked_item(replace(parked, event_id=behind))),
                "ConditionExpression": f"attribute_exists({schema.EVENT_ID})",
            }
            transaction.insert(1, {"ConditionCheck": there})
        for attempt in range(1, _MAX_TRIES + 1):
            try:
                send(self._client.transact_write_items, TransactItems=transaction)
                return True
            except SlotsTaken as taken:
                if not taken.is_first:
                    return False
                raise _lost(subscription, lease, taken) from taken
            except Busy:
                self._sleep(_BACKOFF.pause_s(attempt, jitter=self._jitter()))
        raise StoreUnavailable(operation="park", reason=f"the lease was busy {_MAX_TRIES} times")

    def read_parked(
        self, subscription: str, *, tranche: int | None = None, stream_of: ParkedEvent | None = None
    ) -> Iterator[ParkedEvent]:
        """Read what is parked; see `Checkpoints.read_parked`."""
        prefix = items.parked_stream(stream_of) if stream_of else items.parked_prefix(tranche)
        for item in self._query(subscription, prefix):
            yield items.parked_of(item)

    def unpark(self, subscription: str, parked: ParkedEvent) -> None:
        """Forget a parked event; see `Checkpoints.unpark`."""
        self._send(self._client.delete_item, Key=items.key(subscription, items.parked_item(parked)))

    def _move(
        self,
        subscription: str,
        lease: Lease,
        place: BlockPosition,
        start: Start | None,
        horizon_us: int | None,
        *,
        removed: tuple[str, ...],
    ) -> Lease:
        set_also, values = "", {":place": items.place_text(place), **_owner(lease), **_ONE}
        if start:
            set_also = ", #stream = :stream, #event = :event, #starts = :starts"
            values |= {
                ":stream": {"S": start.stream_id},
                ":event": {"N": str(start.event_id)},
                ":starts": {"N": str(start.count)},
            }
        else:
            removed = (*removed, "#stream", "#event", "#starts")
        if horizon_us is not None:
            set_also += ", #horizon = :horizon"
            values[":horizon"] = {"N": str(horizon_us)}
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
        return items.lease_of(answer["Attributes"])

    def _update(
        self, subscription: str, lease: Lease, *, update: str, condition: str, values: dict[str, Any]
    ) -> Any:
        answer = self._send_update(
            subscription,
            Key=items.lease_key(subscription, lease.tranche),
            UpdateExpression=update,
            ConditionExpression=condition,
            ExpressionAttributeNames={
                name: attribute for name, attribute in _NAMES.items() if name in update + condition
            },
            ExpressionAttributeValues={":fence": {"N": str(lease.fence)}, **values},
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        items.check_key(answer["Attributes"], subscription, f"{schema.LEASE_PREFIX}{lease.tranche:04d}")
        return answer

    def _send_update(self, subscription: str, **request: Any) -> Any:
        try:
            return self._send(self._client.update_item, **request)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationException":
                self.read_group(subscription)  # raises when what is to be counted up is no number
            raise

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
                items.check_key(item, subscription, prefix)
                yield item
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _send(self, operation: Callable[..., Any], **request: Any) -> Any:
        return send(operation, TableName=self._table_name, **request)


def _owner(lease: Lease) -> dict[str, Any]:
    # Nobody has the empty id: of a free lease nothing is stored.
    return {":owner": {"S": lease.owner or ""}}


def _lost(subscription: str, lease: Lease, taken: SlotsTaken) -> LeaseLost:
    there = items.lease_of(taken.items[0]) if taken.items[0] else None
    taken_by = (there.owner or "") if there else None
    return LeaseLost(subscription=subscription, tranche=lease.tranche, taken_by=taken_by)
