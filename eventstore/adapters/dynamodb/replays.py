"""The replays on DynamoDB: one item each, changed only under conditions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from eventstore.adapters.dynamodb.replay_schema import (
    FAILED_STEPS,
    FENCE,
    KEY,
    KEY_OF,
    KIND,
    LEASE_UNTIL_US,
    REASON,
    REPLAY,
    REPLAY_ID,
    RUN,
    STATUS,
)
from eventstore.adapters.dynamodb.requests import SlotsTaken, checked, send
from eventstore.arguments import check_text
from eventstore.errors import ReplayNotFound, UnexpectedItem
from eventstore.errors.store import write_in_doubt
from eventstore.positions import Position
from eventstore.replays import Replay, ReplayStatus

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

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
_SAVED: Final = (
    *("Position", "Sent", "FirstUs", "ActiveUs", "UpdatedUs", "PacedUntilUs", FAILED_STEPS, REASON),
    LEASE_UNTIL_US,
)
_CHANGED: Final = (STATUS, REASON, RUN, "EndedUs", "UpdatedUs", FAILED_STEPS)

_OPERATIONS: Final = ("get_item", "put_item", "query", "transact_write_items", "update_item")


class DynamoDBReplays:
    """A `ReplayStore` in a table of `replay_schema`.

    Args:
        client: boto3's DynamoDB client, best made with `client.dynamodb_client`.
        table_name: the table of the deployed stack.

    Cost: `create`, `claim`, `save` and `change` are 1 write each (1 WCU up to 1 KB: names and reasons make
    an item larger), `get` 1 RCU, `latest` 1 query (1 RCU each 4 KB). To create one with a key: 1 transaction
    (2 WCU for the key, 2 for each KB of the replay).
    """

    def __init__(self, *, client: DynamoDBClient, table_name: str) -> None:
        check_text(table_name, "table_name")
        self._client = checked(client, *_OPERATIONS)
        self._table_name = table_name

    def create(self, replay: Replay) -> Replay:
        """Keep a new replay; see `ReplayStore.create`. Raises StoreUnavailable."""
        put = {"TableName": self._table_name, "Item": item_from_replay(replay)}
        if not replay.request_key:
            send(self._client.put_item, **put)
            return replay
        key = {
            "TableName": self._table_name,
            "Item": {**_key(replay.request_key, kind=KEY), KEY_OF: {"S": replay.replay_id}},
            "ConditionExpression": f"attribute_not_exists({KIND})",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            send(self._client.transact_write_items, TransactItems=[{"Put": key}, {"Put": put}])
        except SlotsTaken as taken:
            before = (taken.items[0] or {}).get(KEY_OF, {}).get("S", "")
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
        return self._update(
            replay.replay_id,
            {name: item[name] for name in _CHANGED if name in item},
            unless_changed={STATUS: {"S": before.status.value}, RUN: {"N": str(before.run)}},
        )

    def _update(
        self, replay_id: str, attributes: Mapping[str, Any], *, unless_changed: Mapping[str, Any]
    ) -> Replay | None:
        names = {**attributes, **unless_changed}
        aliases = {name: f"#{number}" for number, name in enumerate(names)}
        sets = ", ".join(f"{aliases[name]} = :new{aliases[name][1:]}" for name in attributes)
        conditions = " AND ".join(f"{aliases[name]} = :old{aliases[name][1:]}" for name in unless_changed)
        try:
            answer = send(
                self._client.update_item,
                TableName=self._table_name,
                Key=_key(replay_id),
                UpdateExpression=f"SET {sets}",
                ConditionExpression=conditions,
                ExpressionAttributeNames={alias: name for name, alias in aliases.items()},
                ExpressionAttributeValues={
                    **{f":new{aliases[name][1:]}": value for name, value in attributes.items()},
                    **{f":old{aliases[name][1:]}": value for name, value in unless_changed.items()},
                },
                ReturnValues="ALL_NEW",
            )
        except SlotsTaken:
            return None
        return _asked_for(replay_from_item(answer["Attributes"]), replay_id)


def item_from_replay(replay: Replay) -> dict[str, Any]:
    """Write a replay as an item in DynamoDB's own JSON; what it doesn't have is left out."""
    numbers = {name: getattr(replay, field) for name, field in _NUMBERS.items()}
    item: dict[str, Any] = {
        KIND: {"S": REPLAY},
        STATUS: {"S": replay.status.value},
        "EventNames": {"S": json.dumps(replay.names, ensure_ascii=False)},
        **{name: {"S": getattr(replay, field)} for name, field in _TEXTS.items()},
        **{name: {"N": str(number)} for name, number in numbers.items() if number is not None},
    }
    if replay.position is not None:
        item["Position"] = {"S": str(replay.position)}
    return item


def replay_from_item(item: Mapping[str, Any]) -> Replay:
    """Read a replay from an item in DynamoDB's own JSON."""
    fields: dict[str, Any] = {field: item[name]["S"] for name, field in _TEXTS.items() if name in item}
    fields |= {field: int(item[name]["N"]) for name, field in _NUMBERS.items() if name in item}
    fields = {"from_us": None, **fields}
    return Replay(
        names=tuple(json.loads(item["EventNames"]["S"])),
        status=ReplayStatus(item[STATUS]["S"]),
        position=Position.parse(item["Position"]["S"]) if "Position" in item else None,
        **fields,
    )


def _asked_for(replay: Replay, replay_id: str) -> Replay:
    if replay.replay_id != replay_id:
        raise UnexpectedItem(asked=f"replay {replay_id}", answered=f"replay {replay.replay_id}")
    return replay


def _key(replay_id: str, *, kind: str = REPLAY) -> dict[str, Any]:
    return {KIND: {"S": kind}, REPLAY_ID: {"S": replay_id}}
