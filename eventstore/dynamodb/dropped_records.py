"""The records of a dropped batch, read from the table's stream as long as they're there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from eventstore.aws.answers import FAILED, ask, is_passing
from eventstore.aws.clients import take_client
from eventstore.aws.refusals import raise_told
from eventstore.delivery.dropped import DroppedBatch
from eventstore.delivery.republish import Chosen
from eventstore.dynamodb.changes import stream_records

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

_GONE: Final = frozenset({"ResourceNotFoundException", "TrimmedDataAccessException"})
_MAX_EMPTY: Final = 100
"""Answers without a record in a row after which there is none: each may be on the way to some."""


class DynamoDBDroppedRecords:
    """`DroppedRecords` of a table's stream.

    Args:
        client: boto3's client of DynamoDB Streams; it should try again by itself.
    """

    def __init__(self, *, client: DynamoDBStreamsClient) -> None:
        self._client = take_client(client, "dynamodbstreams", "get_records", "get_shard_iterator")

    def read(self, batch: DroppedBatch) -> Sequence[Chosen] | None:
        """Read the events that were inserted; see `DroppedRecords.read`."""
        records = self._read(batch)
        if not records or records[0]["dynamodb"]["SequenceNumber"] != batch.first:
            return None  # what is missing was there: a record is only ever removed with all before it
        return [record.event for record in stream_records({"Records": [*map(_without_time, records)]})]

    def _read(self, batch: DroppedBatch) -> list[Any]:
        """Read from the first record of the batch, or the oldest there is, to its last; else none."""
        records: list[Any] = []
        for page in self._pages(batch):
            records += [record for record in page if _number(record) <= int(batch.last)]
            if page and _number(page[-1]) >= int(batch.last):
                return records
        return []

    def _pages(self, batch: DroppedBatch) -> Iterator[list[Any]]:
        """Read on from the first record of the batch, until nothing more comes."""
        answer = self._ask(
            self._client.get_shard_iterator,
            StreamArn=batch.stream_arn,
            ShardId=batch.shard_id,
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            SequenceNumber=batch.first,
        )
        iterator = answer and answer.get("ShardIterator")
        empty = 0
        while iterator and empty < _MAX_EMPTY:
            answer = self._ask(self._client.get_records, ShardIterator=iterator)
            if answer is None:
                return
            yield answer["Records"]
            empty = 0 if answer["Records"] else empty + 1
            iterator = answer.get("NextShardIterator")

    def _ask(self, operation: Any, **request: Any) -> Any:
        """Send a request; None when the records, their shard or their stream are gone."""
        try:
            return ask(operation, **request)
        except FAILED as error:
            if isinstance(error, ClientError) and not is_passing(error) and _code(error) in _GONE:
                return None
            raise_told(error, operation, request)


def _code(error: ClientError) -> str:
    return str(error.response["Error"].get("Code"))


def _without_time(record: Any) -> dict[str, Any]:
    """Leave out when a record was made, which boto3 has in another form than Lambda; no event needs it."""
    change = {of: value for of, value in record["dynamodb"].items() if of != "ApproximateCreationDateTime"}
    return {**record, "dynamodb": change}


def _number(record: Any) -> int:
    return int(record["dynamodb"]["SequenceNumber"])
