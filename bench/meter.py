"""A counting proxy in front of DynamoDB Local: requests, capacity units and bytes of who talks through it.

It asks DynamoDB for the consumed capacity in the client's place and leaves the answers as they are, so that
it counts the same way for every client in every language.
"""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Final
from urllib.parse import urlsplit

from bench.prices import TableIndexes, transaction_units

_READS: Final = frozenset({"BatchGetItem", "GetItem", "Query", "Scan", "TransactGetItems"})
_WRITES: Final = frozenset({"BatchWriteItem", "DeleteItem", "PutItem", "TransactWriteItems", "UpdateItem"})

_IDLE_S: Final = 5.0
"""Seconds after which a connection isn't used again: the engine closes idle ones after 30 s."""


@dataclass
class Usage:
    """What was asked of DynamoDB."""

    requests: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    """Requests answered with an error (a condition that failed, a cancelled transaction)."""
    read_units: float = 0.0
    write_units: float = 0.0
    """Of tables; without those of refused writes, which DynamoDB charges too, but doesn't tell."""
    index_write_units: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0

    def as_json(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return {
            "requests": dict(sorted(self.requests.items())),
            "refused": self.refused,
            "read_units": self.read_units,
            "write_units": self.write_units,
            "index_write_units": self.index_write_units,
            "bytes_sent": self.bytes_sent,
            "bytes_received": self.bytes_received,
        }


class Meter:
    """Counts what goes through a proxy; `reset` begins anew."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._tables: dict[str, TableIndexes] = {}
        self._still_let_through: int | None = None
        self.endpoint = ""
        self.asks = True
        """Whether DynamoDB is asked for the consumed capacity; without, no units are counted."""
        self.usage = Usage()

    def reset(self) -> None:
        """Count from zero."""
        with self._lock:
            self.usage = Usage()

    def refuse_after(self, requests: int | None) -> None:
        """Let so many requests through and answer all others with a server's error; None: no more of that."""
        with self._lock:
            self._still_let_through = requests

    def lets_through(self) -> bool:
        """Return whether the next request may pass."""
        with self._lock:
            if self._still_let_through is None:
                return True
            self._still_let_through -= 1
            return self._still_let_through >= 0

    def count(self, operation: str, request: dict[str, Any], status: int, answer: dict[str, Any]) -> None:
        """Count a request and its answer."""
        with self._lock:
            self.usage.requests[operation] += 1
            if operation == "CreateTable":
                self._tables[request["TableName"]] = TableIndexes.of(request)
            if status != 200:
                self.usage.refused += 1
            elif operation == "TransactWriteItems":
                of_tables, of_indexes = transaction_units(request["TransactItems"], self._tables)
                self.usage.write_units += of_tables
                self.usage.index_write_units += of_indexes
            else:
                self._count_units(operation, answer)

    def count_bytes(self, sent: int, received: int) -> None:
        """Count the bytes of a request and its answer, headers included."""
        with self._lock:
            self.usage.bytes_sent += sent
            self.usage.bytes_received += received

    def _count_units(self, operation: str, answer: dict[str, Any]) -> None:
        consumed = answer.get("ConsumedCapacity") or []
        for capacity in consumed if isinstance(consumed, list) else [consumed]:
            total = capacity["CapacityUnits"]
            if operation in _READS:
                self.usage.read_units += total
            else:
                of_table = capacity.get("Table", {}).get("CapacityUnits", total)
                self.usage.write_units += of_table
                self.usage.index_write_units += total - of_table


@contextmanager
def metered(endpoint: str) -> Iterator[Meter]:
    """Run a proxy in front of an engine on 127.0.0.1; its address is the meter's `endpoint`."""
    meter = Meter()
    upstream = urlsplit(endpoint)
    assert upstream.hostname
    assert upstream.port
    server = _Server(("127.0.0.1", 0), _Proxy)
    server.meter, server.upstream = meter, (upstream.hostname, upstream.port)
    meter.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="meter", daemon=True)
    thread.start()
    try:
        yield meter
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    meter: Meter
    upstream: tuple[str, int]


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    raw_requestline: bytes

    def setup(self) -> None:
        super().setup()
        self._upstream = http.client.HTTPConnection(*self.server.upstream, timeout=60)
        self._used_s = time.monotonic()

    def finish(self) -> None:
        self._upstream.close()
        super().finish()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        meter = self.server.meter
        if not meter.lets_through():
            refused = b'{"__type":"InternalServerError"}'
            self.wfile.write(_head(500, "Internal Server Error", [], refused) + refused)
            return
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        request = json.loads(body)
        asked = "ReturnConsumedCapacity" in request or not meter.asks
        sent_on = body
        if operation in _READS | _WRITES and not asked:
            sent_on = json.dumps({**request, "ReturnConsumedCapacity": "INDEXES"}).encode()
        headers = {name: value for name, value in self.headers.items() if name.lower() != "content-length"}
        if time.monotonic() - self._used_s > _IDLE_S:
            self._upstream.close()  # it reconnects by itself
        self._used_s = time.monotonic()
        self._upstream.request("POST", self.path, sent_on, headers)
        response = self._upstream.getresponse()
        content = response.read()
        answer = json.loads(content) if content else {}
        # Before the answer goes out, so that who has it finds it counted.
        meter.count(operation, request, response.status, answer)
        head = _head(response.status, response.reason, response.getheaders(), content)
        meter.count_bytes(
            len(self.raw_requestline) + len(str(self.headers)) + len(body),
            len(head) + len(content) - (0 if asked else _capacity_bytes(answer)),
        )
        self.wfile.write(head + content)

    def log_message(self, format: str, *args: Any) -> None:
        pass  # it counts, it doesn't tell


def _head(status: int, reason: str, headers: list[tuple[str, str]], content: bytes) -> bytes:
    passed_on = [
        f"{name}: {value}"
        for name, value in headers
        if name.lower() not in {"connection", "content-length", "transfer-encoding"}
    ]
    lines = [f"HTTP/1.1 {status} {reason}", *passed_on, f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _capacity_bytes(answer: dict[str, Any]) -> int:
    """Return by how much the answer has grown through the question for its capacity."""
    if "ConsumedCapacity" not in answer:
        return 0
    member = {"ConsumedCapacity": answer["ConsumedCapacity"]}
    alone = len(answer) == 1
    return len(json.dumps(member, separators=(",", ":"))) - (2 if alone else 1)
