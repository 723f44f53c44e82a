"""The replays on DynamoDB: one item each, changed only under conditions."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from eventstore._arguments import check_text
from eventstore.dynamodb.numbers import NotWhole, whole
from eventstore.dynamodb.requests import Busy, SlotsTaken, checked, pause_s, send
from eventstore.dynamodb.schema.replays import (
    FAILED_STEPS,
    FENCE,
    KEY,
    KEY_OF,
    KIND,
    LEASE_UNTIL_US,
    QUEUE,
    REASON,
    REPLAY,
    REPLAY_ID,
    RUN,
    STATUS,
)
from eventstore.errors import (
    InvalidPosition,
    MalformedReplay,
    ReplayNotFound,
    StoreUnavailable,
    UnexpectedItem,
)
from eventstore.errors.store import write_in_doubt
from eventstore.limits import REPLAYS_QUEUE_MAX
from eventstore.positions import Position
from eventstore.replays.model import QUEUE_IS_FULL, Replay, ReplayStatus

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_POSITION: Final = "Position"
_EVENT_NAMES: Final = "EventNames"
_NUMBERS: Final = {
    "FromUs": "from_us",
    "ToUs": "to_us",
    "EventsPerSecond": "events_per_second",
    "RequestedUs": "requested_us",
    "EndedUs": "ended_us",
    "Sent": "sent",
    "FirstUs": "first_us",
    "ActiveUs": "active_us",
    "UpdatedUs": "updated_us",
    "PacedUntilUs": "paced_until_us",
    FAILED_STEPS: "failed_steps",
    RUN: "run",
    FENCE: "fence",
    LEASE_UNTIL_US: "lease_until_us",
}
_TEXTS: Final = {
    REPLAY_ID: "replay_id",
    "Target": "target",
    "StreamPrefix": "stream_prefix",
    "RequestKey": "request_key",
    "RequestDigest": "request_digest",
    REASON: "reason",
}
_ALWAYS: Final = (REPLAY_ID, "Target", "ToUs", "RequestedUs")
_SAVED: Final = (
    *(_POSITION, "Sent", "FirstUs", "ActiveUs", "UpdatedUs", "PacedUntilUs", FAILED_STEPS, REASON),
    LEASE_UNTIL_US,
)
_CHANGED: Final = (STATUS, REASON, RUN, "EndedUs", "UpdatedUs", FAILED_STEPS)

_MAX_TRIES: Final = 8

_OPERATIONS: Final = ("get_item", "put_item", "query", "transact_write_items", "update_item")


class DynamoDBReplays:
    """A `ReplayStore` in a table of `replay_schema`.

    Args:
        client: boto3's DynamoDB client, best made with `client.dynamodb_client`.
        table_name: the table of the deployed stack.

    Cost: `claim`, `save` and `change` are 1 write each (1 WCU up to 1 KB: names and reasons make an item
    larger), `get` 1 RCU, `latest` 1 query (1 RCU each 4 KB), `queue` 1 read (1 RCU for each 100 ids).
    `create`, `change` to queued, and `leave` are 1 transaction: 2 WCU for each KB of the replay and of the
    queue (26 ids), 2 for a key.
    """

    def __init__(self, *, client: DynamoDBClient, table_name: str) -> None:
        check_text(table_name, "table_name")
        self._client = checked(client, *_OPERATIONS)
        self._table_name = table_name

    def create(self, replay: Replay) -> Replay:
        """Keep a new replay; see `ReplayStore.create`. Raises StoreUnavailable."""
        writes: list[Any] = [{"Put": {"TableName": self._table_name, "Item": item_from_replay(replay)}}]
        if replay.status is ReplayStatus.QUEUED:
            writes.append(self._enqueue(replay.replay_id))
        if replay.request_key:
            key = {
                "TableName": self._table_name,
                "Item": {**_key(replay.request_key, kind=KEY), KEY_OF: {"S": replay.replay_id}},
                "ConditionExpression": f"attribute_not_exists({KIND})",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
            writes.insert(0, {"Put": key})
        try:
            self._transact(writes, "create a replay")
        except SlotsTaken as taken:
            before = (taken.items[0] or {}).get(KEY_OF, {}).get("S")
            if before is None:
                raise StoreUnavailable(operation="create a replay", reason=QUEUE_IS_FULL) from taken
            with write_in_doubt("create a replay"):
                kept = self.get(before)
            if kept is None:
                raise ReplayNotFound(replay_id=before) from taken
            return kept
        return replay

    def get(self, replay_id: str) -> Replay | None:
        """Read a replay; see `ReplayStore.get`. Raises StoreUnavailable."""
        answer = send(
            self._client.get_item, TableName=self._table_name, Key=_key(replay_id), ConsistentRead=True
        )
        return _asked_for(replay_from_item(answer["Item"]), replay_id) if "Item" in answer else None

    def latest(self, *, limit: int) -> list[Replay]:
        """Read the newest replays; see `ReplayStore.latest`. Raises StoreUnavailable."""
        answer = send(
            self._client.query,
            TableName=self._table_name,
            KeyConditionExpression="#kind = :kind",
            ExpressionAttributeNames={"#kind": KIND},
            ExpressionAttributeValues={":kind": {"S": REPLAY}},
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=limit,
        )
        return [replay_from_item(item) for item in answer["Items"]]

    def claim(self, replay: Replay, *, until_us: int) -> Replay | None:
        """Begin a step; see `ReplayStore.claim`. Raises StoreUnavailable."""
        return self._update(
            replay.replay_id,
            {
                FENCE: {"N": str(replay.fence + 1)},
                FAILED_STEPS: {"N": str(replay.failed_steps + 1)},
                LEASE_UNTIL_US: {"N": str(until_us)},
            },
            unless_changed={
                FENCE: {"N": str(replay.fence)},
                RUN: {"N": str(replay.run)},
                STATUS: {"S": ReplayStatus.RUNNING.value},
            },
        )

    def save(self, replay: Replay) -> Replay | None:
        """Store how far a replay is; see `ReplayStore.save`. Raises StoreUnavailable."""
        item = item_from_replay(replay)
        return self._update(
            replay.replay_id,
            {name: item[name] for name in _SAVED if name in item},
            unless_changed={FENCE: {"N": str(replay.fence)}},
        )

    def change(self, replay: Replay, *, before: Replay) -> Replay | None:
        """Store where a replay is; see `ReplayStore.change`. Raises StoreUnavailable."""
        item = item_from_replay(replay)
        changed: dict[str, Any] = {name: item[name] for name in _CHANGED if name in item}
        unless_changed = {STATUS: {"S": before.status.value}, RUN: {"N": str(before.run)}}
        if replay.status is not ReplayStatus.QUEUED:
            return self._update(replay.replay_id, changed, unless_changed=unless_changed)
        update = {"Update": self._request(replay.replay_id, changed, unless_changed=unless_changed)}
        try:
            self._transact([update, self._enqueue(replay.replay_id)], "resume a replay")
        except SlotsTaken as taken:
            if taken.items[1] is not None:
                raise StoreUnavailable(operation="resume a replay", reason=QUEUE_IS_FULL) from taken
            return None
        with write_in_doubt("resume a replay"):
            return self.get(replay.replay_id)

    def queue(self) -> list[str]:
        """Read the queue; see `ReplayStore.queue`. Raises StoreUnavailable."""
        answer = send(
            self._client.get_item,
            TableName=self._table_name,
            Key=_key(QUEUE, kind=QUEUE),
            ConsistentRead=True,
        )
        return [replay_id["S"] for replay_id in answer.get("Item", {}).get(QUEUE, {}).get("L", [])]

    def leave(self, replay_id: str, *, seen: Replay | None) -> None:
        """Take a replay out of the queue; see `ReplayStore.leave`. Raises StoreUnavailable.

        By its places, as they were read: whoever has taken others out meanwhile has moved them, and then this
        does nothing where another id stands. The caller reads the queue again.
        """
        places = [place for place, queued in enumerate(self.queue()) if queued == replay_id]
        if not places:
            return
        check: dict[str, Any] = {
            "TableName": self._table_name,
            "Key": _key(replay_id),
            "ConditionExpression": f"attribute_not_exists({KIND})",
        }
        if seen is not None:
            check |= {
                "ConditionExpression": "#status = :status AND #run = :run",
                "ExpressionAttributeNames": {"#status": STATUS, "#run": RUN},
                "ExpressionAttributeValues": {
                    ":status": {"S": seen.status.value},
                    ":run": {"N": str(seen.run)},
                },
            }
        removal = {
            "TableName": self._table_name,
            "Key": _key(QUEUE, kind=QUEUE),
            "UpdateExpression": f"REMOVE {', '.join(f'#queue[{place}]' for place in places)}",
            "ConditionExpression": " AND ".join(f"#queue[{place}] = :id" for place in places),
            "ExpressionAttributeNames": {"#queue": QUEUE},
            "ExpressionAttributeValues": {":id": {"S": replay_id}},
        }
        with suppress(SlotsTaken):
            self._transact([{"Update": removal}, {"ConditionCheck": check}], "leave the queue of replays")

    def _enqueue(self, replay_id: str) -> dict[str, Any]:
        return {
            "Update": {
                "TableName": self._table_name,
                "Key": _key(QUEUE, kind=QUEUE),
                "UpdateExpression": "SET #queue = list_append(if_not_exists(#queue, :none), :id)",
                "ConditionExpression": "attribute_not_exists(#queue) OR size(#queue) < :most",
                "ExpressionAttributeNames": {"#queue": QUEUE},
                "ExpressionAttributeValues": {
                    ":id": {"L": [{"S": replay_id}]},
                    ":none": {"L": []},
                    ":most": {"N": str(REPLAYS_QUEUE_MAX)},
                },
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _transact(self, writes: Sequence[Any], operation: str) -> None:
        """Write all or nothing; the queue's item is everybody's, so that others may be in the way."""
        for attempt in range(1, _MAX_TRIES):
            try:
                send(self._client.transact_write_items, TransactItems=writes)
                return
            except Busy:
                time.sleep(min(1.0, pause_s(attempt, jitter=random.random())))
        try:
            send(self._client.transact_write_items, TransactItems=writes)
        except Busy as busy:
            reason = f"other changes of the queue were in the way {_MAX_TRIES} times"
            raise StoreUnavailable(operation=operation, reason=reason) from busy

    def _update(
        self, replay_id: str, attributes: Mapping[str, Any], *, unless_changed: Mapping[str, Any]
    ) -> Replay | None:
        request = self._request(replay_id, attributes, unless_changed=unless_changed)
        try:
            answer = send(self._client.update_item, **request, ReturnValues="ALL_NEW")
        except SlotsTaken:
            return None
        return _asked_for(replay_from_item(answer["Attributes"]), replay_id)

    def _request(
        self, replay_id: str, attributes: Mapping[str, Any], *, unless_changed: Mapping[str, Any]
    ) -> dict[str, Any]:
        names = {**attributes, **unless_changed}
        aliases = {name: f"#{number}" for number, name in enumerate(names)}
        sets = ", ".join(f"{aliases[name]} = :new{aliases[name][1:]}" for name in attributes)
        conditions = " AND ".join(f"{aliases[name]} = :old{aliases[name][1:]}" for name in unless_changed)
        return {
            "TableName": self._table_name,
            "Key": _key(replay_id),
            "UpdateExpression": f"SET {sets}",
            "ConditionExpression": conditions,
            "ExpressionAttributeNames": {alias: name for name, alias in aliases.items()},
            "ExpressionAttributeValues": {
                **{f":new{aliases[name][1:]}": value for name, value in attributes.items()},
                **{f":old{aliases[name][1:]}": value for name, value in unless_changed.items()},
            },
        }


def item_from_replay(replay: Replay) -> dict[str, Any]:
    """Write a replay as an item in DynamoDB's own JSON; what it doesn't have is left out."""
    numbers = {name: getattr(replay, field) for name, field in _NUMBERS.items()}
    item: dict[str, Any] = {
        KIND: {"S": REPLAY},
        STATUS: {"S": replay.status.value},
        _EVENT_NAMES: {"S": json.dumps(replay.names, ensure_ascii=False)},
        **{name: {"S": getattr(replay, field)} for name, field in _TEXTS.items()},
        **{name: {"N": str(number)} for name, number in numbers.items() if number is not None},
    }
    if replay.position is not None:
        item[_POSITION] = {"S": str(replay.position)}
    return item


def replay_from_item(item: Mapping[str, Any]) -> Replay:
    """Read a replay from an item in DynamoDB's own JSON; raises MalformedReplay."""
    try:
        return _replay_from_item(item)
    except (NotWhole, _NotText) as error:
        replay_id = item.get(REPLAY_ID, {}).get("S", "")
        raise MalformedReplay(replay_id=replay_id, reason=f"its {error}") from error


def _replay_from_item(item: Mapping[str, Any]) -> Replay:
    given = {*item, *_ALWAYS}
    fields: dict[str, Any] = {field: _text(item, name) for name, field in _TEXTS.items() if name in given}
    fields |= {field: whole(item, name) for name, field in _NUMBERS.items() if name in given}
    fields = {"from_us": None, "position": _position(item) if _POSITION in item else None, **fields}
    return Replay(names=_names(item), status=_status(item), **fields)


class _NotText(ValueError):
    """What is wrong with an attribute, as words behind "its"."""


def _text(item: Mapping[str, Any], name: str) -> str:
    text = item.get(name, {}).get("S")
    if text is None:
        raise _NotText(f"{name} is missing or no text")
    return str(text)


def _names(item: Mapping[str, Any]) -> tuple[str, ...]:
    text = _text(item, _EVENT_NAMES)
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _NotText(f"{_EVENT_NAMES} is {text!r:.60}; it has to be a JSON array of names")
    return tuple(names)


def _position(item: Mapping[str, Any]) -> Position:
    text = _text(item, _POSITION)
    try:
        return Position.parse(text)
    except InvalidPosition as error:
        raise _NotText(f"{_POSITION} is {text!r:.60}; it has to be one that a step has stored") from error


def _status(item: Mapping[str, Any]) -> ReplayStatus:
    text = _text(item, STATUS)
    if text not in list(ReplayStatus):
        raise _NotText(f"{STATUS} is {text!r:.60}; it has to be one of {', '.join(ReplayStatus)}")
    return ReplayStatus(text)


def _asked_for(replay: Replay, replay_id: str) -> Replay:
    if replay.replay_id != replay_id:
        raise UnexpectedItem(asked=f"replay {replay_id}", answered=f"replay {replay.replay_id}")
    return replay


def _key(replay_id: str, *, kind: str = REPLAY) -> dict[str, Any]:
    return {KIND: {"S": kind}, REPLAY_ID: {"S": replay_id}}
