"""Clients that get answers made by a test in place of the network's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec
from botocore.awsrequest import AWSResponse, HeadersDict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEYS: Any = {"region_name": "us-east-1", "aws_access_key_id": "local", "aws_secret_access_key": "local"}
HEADERS = {"x-amzn-RequestId": "R1", "Content-Type": "application/x-amz-json-1.0"}
LOADS = [json.loads, msgspec.json.decode]
BODY = b'{"Count":1,"Items":[{"A":{"S":"x"},"B":{"B":"YQ=="}}],"ScannedCount":1}'

ERRORS = [
    (400, b'{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no table"}'),
    (400, b'{"__type":"x#ThrottlingException","Message":"slow down","Items":[]}'),
    (500, b'{"__type":"x#InternalServerError"}'),
    (503, b"<html><body>gone</body></html>"),
    (301, b""),
]


class _Wire:
    """An HTTP body as urllib3 hands it over."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body


def answering(client: DynamoDBClient, *answers: tuple[int, bytes]) -> DynamoDBClient:
    """Let a client have these answers, one after the other, in place of the network's."""
    coming = iter(answers)

    def answer(request: Any, **_: Any) -> AWSResponse:
        status, body = next(coming)
        headers = HeadersDict({**HEADERS, "x-amz-crc32": str(crc32(body))})
        return AWSResponse(request.url, status, headers, _Wire(body))

    client.meta.events.register("before-send.dynamodb.*", answer)
    return client
