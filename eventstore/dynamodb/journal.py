"""The journal on DynamoDB: a put for each batch, a query of what others have put since."""

from __future__ import annotations

import os
import time
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from eventstore._arguments import check_functions, check_text
from eventstore.dynamodb.requests import checked, send_once
from eventstore.dynamodb.schema.journal import CONSUMER, EXPIRES_AT, PUBLISHED, WRITTEN_AT
from eventstore.errors import StoreMisconfigured, StoreUnavailable
from eventstore.limits import JOURNAL_KEPT_S, JOURNAL_MAX_PAGES, JOURNAL_OVERLAP_S, JOURNAL_S

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_HASH_BYTES: Final = 5
_ID_BYTES: Final = 4
_ENTRY_BYTES: Final = _HASH_BYTES + _ID_BYTES


class DynamoDBJournal:
    """A `Journal` in a DynamoDB table, which `journal_schema` describes. Not for several threads at once.

    Two streams whose hashes are the same are taken for one: that can cost the order of an event that also
    comes before an earlier one, and nothing else.

    Args:
        client: boto3's DynamoDB client, best made with `client.dynamodb_client`.
        table_name: the journal's table.
        consumer: who publishes; each consumer has a journal of its own.
        clock_us, random_bytes: time and chance, to be replaced in tests.

    Raises:
        InvalidArgument, NotSynchronous: an argument that can't be used.

    Each request has one try: who can't ask goes on without.

    Cost: a batch of up to 100 streams is 1 put and 1 WCU; a look is 1 query, and 1 RCU for each 4 KB that the
    other processes have put since the last one and in the second before.
    """

    def __init__(
        self,
        *,
        client: DynamoDBClient,
        table_name: str,
        consumer: str,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        check_text(table_name, "table_name")
        check_text(consumer, "consumer")
        check_functions(clock_us=clock_us, random_bytes=random_bytes)
        self._client = checked(client, "put_item", "query")
        self._table_name = table_name
        self._consumer = consumer
        self._clock_us = clock_us
        self._random_bytes = random_bytes
        self._known: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        """Of each stream its last EventId that is out, and when that was told; the oldest first."""
        self._seen_us = 0
        """Up to when it has read what others have put."""

    def published(self, stream_ids: Collection[str]) -> Mapping[str, int]:
        """Return up to which EventId streams are published; see `Journal.published`."""
        self._look()
        keys = {stream_id: _key(stream_id) for stream_id in stream_ids}
        return {stream_id: self._known[key][0] for stream_id, key in keys.items() if key in self._known}

    def add(self, published: Mapping[str, int]) -> None:
        """Note that streams are published; see `Journal.add`."""
        entries = b"".join(
            _key(stream_id) + event_id.to_bytes(_ID_BYTES, "big")
            for stream_id, event_id in published.items()
            if event_id < 1 << 8 * _ID_BYTES  # a stream of more events isn't told: it's read back
        )
        if not entries:
            return
        now_us = self._clock_us()
        item: dict[str, Any] = {
            CONSUMER: {"S": self._consumer},
            WRITTEN_AT: {"S": f"{now_us:016}{b64encode(self._random_bytes(6)).decode()}"},
            PUBLISHED: {"B": entries},
            EXPIRES_AT: {"N": str(now_us // 1_000_000 + JOURNAL_KEPT_S)},
        }
        self._send(self._client.put_item, Item=item)

    def _look(self) -> None:
        """Read what was put since the last look."""
        now_us = self._clock_us()
        oldest_us = now_us - round(JOURNAL_S * 1_000_000)
        while self._known and next(iter(self._known.values()))[1] < oldest_us:
            self._known.popitem(last=False)
        from_us = max(oldest_us, self._seen_us - round(JOURNAL_OVERLAP_S * 1_000_000), 0)
        at_us = from_us
        for items, is_last in self._pages(from_us):
            for item in items:
                at_us = int(item[WRITTEN_AT]["S"][:16])
                for key, event_id in _entries(item[PUBLISHED]["B"]):
                    known = self._known.pop(key, (0, 0))[0]
                    self._known[key] = max(event_id, known), at_us
            # A clock that is ahead doesn't count: what others put meanwhile is not to be missed for it.
            self._seen_us = now_us if is_last else min(at_us, now_us)

    def _pages(self, from_us: int) -> Iterator[tuple[list[dict[str, Any]], bool]]:
        request: dict[str, Any] = {
            "KeyConditionExpression": f"{CONSUMER} = :consumer AND {WRITTEN_AT} >= :from",
            "ExpressionAttributeValues": {
                ":consumer": {"S": self._consumer},
                ":from": {"S": f"{from_us:016}"},
            },
            "ConsistentRead": True,
        }
        for _ in range(JOURNAL_MAX_PAGES):
            answer = self._send(self._client.query, **request)
            is_last = "LastEvaluatedKey" not in answer
            yield answer["Items"], is_last
            if is_last:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _send(self, operation: Callable[..., Any], **request: Any) -> Any:
        """Send a request; raises nothing but StoreUnavailable: what is missing here never stops a batch."""
        try:
            return send_once(operation, TableName=self._table_name, **request)
        except (ClientError, BotoCoreError, StoreMisconfigured) as error:
            reason = error.advice if isinstance(error, StoreMisconfigured) else str(error)
            raise StoreUnavailable(operation=operation.__name__, reason=reason) from error


def _key(stream_id: str) -> bytes:
    return blake2b(stream_id.encode(), digest_size=_HASH_BYTES).digest()


def _entries(packed: bytes) -> Iterator[tuple[bytes, int]]:
    for at in range(0, len(packed), _ENTRY_BYTES):
        entry = packed[at : at + _ENTRY_BYTES]
        yield entry[:_HASH_BYTES], int.from_bytes(entry[_HASH_BYTES:], "big")
