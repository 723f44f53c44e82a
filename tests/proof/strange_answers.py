"""Answers that aren't DynamoDB's, or not in its form: of load balancers, proxies, login pages; cut off."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any, Final

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import IncompleteReadError

from tests.proof.world import World

_JSON: Final = {"content-type": "application/x-amz-json-1.0", "x-amzn-requestid": "R1"}
_HTML: Final = {"content-type": "text/html"}
_PAGE: Final = b"<html><body>Please log in, or try again later.</body></html>"


def answer_as_dynamodb(request: Any, status: int, body: Any) -> AWSResponse:
    return _answer(request, status, json.dumps(body).encode(), _JSON)


def answer_strangely(world: World, request: Any, do: Callable[[], Any]) -> AWSResponse:
    """Answer a request otherwise than DynamoDB; what can happen behind its back is done, or isn't."""
    kind = world.rng.choice(list(_KINDS))
    may_be_done, status, headers, content = _KINDS[kind]
    world.faults[kind] += 1
    if may_be_done and world.chance(0.5):
        do()
    if not status:
        raise IncompleteReadError(actual_bytes=10, expected_bytes=100)
    return _answer(request, status, content, headers)


def _refusal(code: str) -> bytes:
    return json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": code}).encode()


_KINDS: Final[dict[str, tuple[bool, int, dict[str, str], bytes]]] = {
    # Whether the request may have been done, the status, headers and content.
    "500 without a body": (True, 500, _JSON, b""),
    "502 in HTML": (True, 502, _HTML, _PAGE),
    "503 that says when to try again": (True, 503, _JSON | {"x-amz-retry-after": "20000"}, b""),
    "504 without a body": (True, 504, {}, b""),
    "500 InternalFailure": (True, 500, _JSON, _refusal("InternalFailure")),
    "400 ReplicatedWriteConflict": (False, 400, _JSON, _refusal("ReplicatedWriteConflictException")),
    "400 LimitExceeded": (False, 400, _JSON, _refusal("LimitExceededException")),
    "403 of a proxy": (False, 403, _HTML, _PAGE),
    "200 of a login page": (False, 200, _HTML, _PAGE),
    "200 without a body": (False, 200, {}, b""),
    "200 of another JSON": (False, 200, {"content-type": "application/json"}, b"[]"),
    "200 of JSON that is cut off": (True, 200, _JSON, b'{"Item'),
    "200 of other members": (True, 200, _JSON, b'{"status":"ok"}'),
    "200 of another checksum": (True, 200, _JSON | {"x-amz-crc32": "1"}, b"{}"),
    "answer broke off": (True, 0, {}, b""),
}
STRANGE: Final = frozenset(_KINDS)


def _answer(request: Any, status: int, content: bytes, headers: dict[str, str]) -> AWSResponse:
    raw = io.BytesIO(content)
    raw.stream = lambda: iter([content])  # type: ignore[attr-defined]
    return AWSResponse(request.url, status, HTTPHeaders.from_dict(headers), raw)
