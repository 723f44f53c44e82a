"""A client whose transactions become visible item by item, as DynamoDB's do to queries.

The local engines apply a transaction at once. DynamoDB promises a query that it is read-committed only: while
a transaction becomes visible, a query may return some of its items.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection
from typing import Any

from botocore.awsrequest import AWSResponse

Address = tuple[str, int]


class HalfVisible:
    """The HTTP session of a client: it hides some items of the newest transaction from the next queries.

    Args:
        send: sends a request to the engine.
        hides: which of a transaction's addresses are hidden, when it has been written.
        queries: from how many queries.
        items: hide them from GetItem as well, as long. It's serializable toward transactions, not toward
            queries: it may come before one of which a query has shown a part.
    """

    def __init__(
        self,
        send: Callable[[Any], Any],
        *,
        hides: Callable[[list[Address]], Collection[Address]],
        queries: float,
        items: bool = False,
    ) -> None:
        self._send = send
        self._hides = hides
        self._queries = queries
        self._items = items
        self._hidden: Collection[Address] = ()
        self.left: float = 0
        """From how many queries more something is hidden."""
        self.met = 0
        """How many queries had something hidden."""

    @classmethod
    def on(
        cls,
        client: Any,
        *,
        hides: Callable[[list[Address]], Collection[Address]],
        queries: float,
        items: bool = False,
    ) -> HalfVisible:
        """Put it between a client and its engine."""
        session = client._endpoint.http_session
        half = cls(session.send, hides=hides, queries=queries, items=items)
        session.send = half.send
        return half

    def send(self, request: Any) -> Any:
        """Send a request, and hide what isn't visible yet from its answer."""
        operation = _text(request.headers["X-Amz-Target"]).partition(".")[2]
        answer = self._send(request)
        if answer.status_code != 200:
            return answer
        if operation == "TransactWriteItems":
            body = json.loads(request.body)
            puts = [one["Put"]["Item"] for one in body["TransactItems"] if "Put" in one]
            self._hidden, self.left = self._hides([_address(item) for item in puts]), self._queries
        elif operation == "Query" and self.left > 0:
            self.left -= 1
            return self._without_hidden(request, answer)
        elif operation == "GetItem" and self._items and self.left > 0:
            is_hidden = _address(json.loads(request.body)["Key"]) in self._hidden
            return _answer(request, {}) if is_hidden else answer
        return answer

    def _without_hidden(self, request: Any, answer: Any) -> Any:
        told = json.loads(answer.content)
        seen = [item for item in told["Items"] if _address(item) not in self._hidden]
        if len(seen) == len(told["Items"]):
            return answer
        self.met += 1
        return _answer(request, {**told, "Items": seen, "Count": len(seen)})


def _answer(request: Any, told: dict[str, Any]) -> AWSResponse:
    raw = io.BytesIO(json.dumps(told).encode())
    raw.stream = lambda: iter([raw.getvalue()])  # type: ignore[attr-defined]
    headers = {"content-type": "application/x-amz-json-1.0", "x-amzn-requestid": "half"}
    return AWSResponse(request.url, 200, headers, raw)


def _address(item: Any) -> Address:
    return item["StreamId"]["S"], int(item["EventId"]["N"])


def _text(header: str | bytes) -> str:
    return header.decode() if isinstance(header, bytes) else header
