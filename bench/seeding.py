"""Many events at once, as copies of one that a candidate has written itself."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3

from bench.candidates import client_options

Item = dict[str, Any]


def write_copies(
    endpoint: str, table: str, template: Item, *, versions: range, at_version: Callable[[Item, int], Item]
) -> None:
    """Write the template once for each version, changed by `at_version`, side by side and 25 at a time."""
    client = boto3.client("dynamodb", **client_options(endpoint))

    def write(part: tuple[int, ...]) -> None:
        puts: Any = [{"PutRequest": {"Item": at_version(template, version)}} for version in part]
        answer = client.batch_write_item(RequestItems={table: puts})
        assert not answer["UnprocessedItems"], "DynamoDB Local doesn't throttle"

    with ThreadPoolExecutor(4) as executor:
        parts = [tuple(versions[first : first + 25]) for first in range(0, len(versions), 25)]
        for _ in executor.map(write, parts):
            pass


def item_at(endpoint: str, table: str, key: Item) -> Item:
    """Read an item as DynamoDB has it."""
    client = boto3.client("dynamodb", **client_options(endpoint))
    return dict(client.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"])
