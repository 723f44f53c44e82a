"""The store's tables as DynamoDB is asked for them, for development and tests.

The CDK app deploys the same keys. What else a deployment has (encryption, recovery, protection, alarms)
isn't here: don't keep history in tables that were made so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from eventstore.aws.answers import FAILED, ask
from eventstore.aws.refusals import raise_told
from eventstore.dynamodb.schema import events as schema
from eventstore.dynamodb.schema import journal as journal_schema
from eventstore.dynamodb.schema import log as log_schema
from eventstore.dynamodb.schema import replays as replay_schema
from eventstore.dynamodb.schema import subscriptions as subscription_schema

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_Key = tuple[str, str]
"""An attribute's name and type."""


def _keys(partition_key: _Key, sort_key: _Key) -> list[dict[str, str]]:
    return [
        {"AttributeName": partition_key[0], "KeyType": "HASH"},
        {"AttributeName": sort_key[0], "KeyType": "RANGE"},
    ]


def _definition(
    partition_key: _Key,
    sort_key: _Key,
    *,
    index: str = "",
    index_keys: tuple[_Key, _Key] | None = None,
    projection: str = "ALL",
) -> dict[str, Any]:
    keys = {partition_key, sort_key, *(index_keys or ())}
    made: dict[str, Any] = {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": kind} for name, kind in sorted(keys)
        ],
        "KeySchema": _keys(partition_key, sort_key),
    }
    if index_keys:
        made["GlobalSecondaryIndexes"] = [
            {
                "IndexName": index,
                "KeySchema": _keys(*index_keys),
                "Projection": {"ProjectionType": projection},
            }
        ]
    return made


DEFINITIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "events": _definition(
        (schema.STREAM_ID, "S"),
        (schema.EVENT_ID, "N"),
        index=schema.BY_TIME,
        index_keys=((schema.GSI_KEY, "N"), (schema.TIMESTAMP, "N")),
    ),
    "log": _definition((log_schema.TRANCHE, "N"), (log_schema.BLOCK, "N")),
    "subscriptions": _definition(
        (subscription_schema.SUBSCRIPTION, "S"),
        (subscription_schema.ITEM, "S"),
        index=subscription_schema.PARKED,
        index_keys=((subscription_schema.SUBSCRIPTION, "S"), (subscription_schema.PARKED_AT, "N")),
        projection="KEYS_ONLY",
    ),
    "replays": _definition((replay_schema.KIND, "S"), (replay_schema.REPLAY_ID, "S")),
    "journal": _definition((journal_schema.CONSUMER, "S"), (journal_schema.WRITTEN_AT, "S")),
}
"""By table the arguments of CreateTable, without its name and without a stream."""


def create_table(client: DynamoDBClient, kind: str, table_name: str, **more: Any) -> bool:
    """Ask for one of the tables; return False when there is one of this name, which stays as it is.

    Args:
        kind: which, as in `DEFINITIONS`.
        more: further arguments of CreateTable.

    Raises:
        StoreMisconfigured: no permission, credentials or Region.
        StoreUnavailable: DynamoDB can't be reached, or is throttled.
        ClientError: DynamoDB refuses it otherwise.
    """
    request: dict[str, Any] = {"TableName": table_name, **DEFINITIONS[kind], **more}
    try:
        ask(client.create_table, **request)
    except client.exceptions.ResourceInUseException:
        return False
    except FAILED as error:
        raise_told(error, client.create_table, request)
    return True
