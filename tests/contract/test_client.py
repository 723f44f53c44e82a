"""DynamoDB's own answers come from the store's client as from boto3's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.tables import boto3s_client, dynamodb_client, events_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

EVERY_TYPE: dict[str, Any] = {
    "S": {"S": 'text "quoted" \u00fc \U0001f600 \\ "B":'},
    "N": {"N": "-123456789012345678901234567890.12345678"},
    "B": {"B": b"\x00\xff"},
    "SS": {"SS": ["a", "b"]},
    "NS": {"NS": ["1", "2.5"]},
    "BS": {"BS": [b"a", b"b"]},
    "NULL": {"NULL": True},
    "BOOL": {"BOOL": False},
    "L": {"L": [{"B": b"deep"}, {"M": {"B": {"L": [{"BS": [b"x"]}, {"S": ""}]}}}, {"L": []}]},
    "M": {"M": {"S": {"S": "s"}, "B": {"B": b"b"}, "M": {"M": {}}}},
}


@pytest.fixture
def both(dynamodb_endpoint: str) -> Iterator[tuple[DynamoDBClient, DynamoDBClient, str]]:
    ours = dynamodb_client(dynamodb_endpoint)
    with events_table(ours) as table:
        for number in range(1, 4):
            key = {"StreamId": {"S": "s"}, "EventId": {"N": str(number)}}
            ours.put_item(TableName=table, Item=key | (EVERY_TYPE if number == 2 else {}))
        yield ours, boto3s_client(dynamodb_endpoint), table


def key(number: int) -> dict[str, Any]:
    return {"StreamId": {"S": "s"}, "EventId": {"N": str(number)}}


def query(**more: Any) -> tuple[str, dict[str, Any]]:
    values = {":s": {"S": "s"}}
    request = {"KeyConditionExpression": "StreamId = :s", "ExpressionAttributeValues": values, **more}
    return "query", request


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    query(),
    query(Limit=2, ReturnConsumedCapacity="INDEXES", ConsistentRead=True),
    query(Select="COUNT"),
    query(ExclusiveStartKey=key(3)),
    ("scan", {"Limit": 2, "ReturnConsumedCapacity": "TOTAL"}),
    ("get_item", {"Key": key(2), "ReturnConsumedCapacity": "INDEXES"}),
    ("get_item", {"Key": key(9)}),
    ("put_item", {"Item": key(2) | EVERY_TYPE, "ReturnValues": "ALL_OLD"}),
]


@pytest.mark.parametrize(("operation", "request_"), REQUESTS)
def test_an_answer_of_either_client_is_the_same(
    both: tuple[DynamoDBClient, DynamoDBClient, str], operation: str, request_: dict[str, Any]
) -> None:
    ours, boto3s, table = both

    answers = [getattr(client, operation)(TableName=table, **request_) for client in (ours, boto3s)]

    assert _timeless(answers[0]) == _timeless(answers[1])


def test_a_batch_of_either_client_is_the_same(both: tuple[DynamoDBClient, DynamoDBClient, str]) -> None:
    ours, boto3s, table = both
    request: Any = {table: {"Keys": [key(1), key(2)]}}

    answers = [
        client.batch_get_item(RequestItems=request, ReturnConsumedCapacity="INDEXES")
        for client in (ours, boto3s)
    ]

    assert answers[0]["Responses"][table][0]
    for answer in answers:
        answer["Responses"][table].sort(key=lambda item: item["EventId"]["N"])
    assert _timeless(answers[0]) == _timeless(answers[1])


def test_a_refused_write_of_either_client_is_the_same(
    both: tuple[DynamoDBClient, DynamoDBClient, str],
) -> None:
    ours, boto3s, table = both
    put: Any = {
        "TableName": table,
        "Item": key(2),
        "ConditionExpression": "attribute_not_exists(StreamId)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }

    refused = []
    for client in (ours, boto3s):
        for write in (
            client.put_item,
            lambda c=client, **put: c.transact_write_items(TransactItems=[{"Put": put}]),
        ):
            with pytest.raises(ClientError) as raised:
                write(**put)
            refused.append(_timeless(raised.value.response))

    assert refused[:2] == refused[2:]
    assert refused[0]["Item"]["B"] == {"B": b"\x00\xff"}
    assert refused[1]["CancellationReasons"][0]["Item"]["BS"]["BS"] == [b"a", b"b"]


def _timeless(answer: Any) -> Any:
    metadata = answer["ResponseMetadata"]
    assert metadata.pop("RequestId")
    for header in ("date", "x-amzn-requestid"):
        assert metadata["HTTPHeaders"].pop(header)
    return answer
