"""The import budget: what a function imports when it starts, and that its first request imports nothing.

Each new execution environment pays for a start, at full CPU, before its first answer; a first request pays at
the function's own share. So what each request needs is imported at the start and listed here, and what few
need is imported where it's used. What `import boto3; boto3.client("dynamodb")` imports is not listed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest

from eventstore import Event
from tests.fake_aws import ENVIRON
from tests.http.gateway import event
from tests.publishing import trigger

ROOT: Final = Path(__file__).parents[2]

POWERTOOLS: Final = """
    aws_lambda_powertools: exceptions logging metrics package_logger shared tracing utilities warnings
    typing_extensions
"""
"""Its own `__init__` imports the tracer too (not the X-Ray SDK), and its logger the JMESPath functions."""

MSGSPEC: Final = """
    msgspec: _core _json_schema _typing_utils _utils _version inspect json msgpack structs toml yaml
"""

DOMAIN: Final = """
    eventstore: _arguments _json _passing _setting_rules _synchronous _uids errors events limits
    eventstore: positions store
    eventstore.aws: answers clients forks refusals
    eventstore.dynamodb: _botocore client requests
    eventstore.errors: base inputs misconfigured operations readers store
    settings
    encodings: idna
    gc
    stringprep
    unicodedata
"""
"""`encodings.idna` and what it needs: the first connection looks a host name up with it."""

EVENTS_TABLE: Final = """
    eventstore: _backoff _checks _merge _repeats
    eventstore.dynamodb: appending clocks compression facts items numbers reading store store_item
    eventstore.dynamodb: stream_query time_index
    eventstore.dynamodb.schema: events
    eventstore.log: checks model port read
"""

HTTP: Final = """
    eventstore.functions: http
    eventstore.http: app errors fields models paths problems requests responses routes
"""

BUDGETS: Final = {
    "append": f"""{POWERTOOLS}{MSGSPEC}{DOMAIN}{EVENTS_TABLE}{HTTP}
        eventstore: _stream_paths
        eventstore.http: append envelope explain
    """,
    "read": f"""{POWERTOOLS}{MSGSPEC}{DOMAIN}{EVENTS_TABLE}{HTTP}
        eventstore: _stream_paths
        eventstore.dynamodb: log log_items numbers
        eventstore.dynamodb.schema: log
        eventstore.http: log read times
    """,
    "publish": f"""{POWERTOOLS}{DOMAIN}{EVENTS_TABLE}
        eventstore: _stream_paths
        eventstore.aws: eventbridge sqs
        eventstore.delivery: cloudevents publisher
        eventstore.dynamodb: changes journal
        eventstore.dynamodb.schema: journal
        eventstore.functions: changes
        eventstore.ordering: delivered journal stream_order
    """,
    "log": f"""{POWERTOOLS}{DOMAIN}{EVENTS_TABLE}
        eventstore.dynamodb: changes journal log log_items numbers
        eventstore.dynamodb.schema: journal log
        eventstore.functions: changes
        eventstore.log: writer
        eventstore.ordering: delivered journal stream_order
    """,
    "replay": f"""{POWERTOOLS}{DOMAIN}{EVENTS_TABLE}
        eventstore: _stream_paths
        eventstore.aws: eventbridge replay_targets step_functions
        eventstore.delivery: cloudevents publisher
        eventstore.dynamodb: replays
        eventstore.dynamodb.schema: replays
        eventstore.functions: replay
        eventstore.ordering: delivered journal stream_order
        eventstore.replays: calls model queue request step
    """,
    "replays": f"""{POWERTOOLS}{MSGSPEC}{DOMAIN}{HTTP}
        eventstore: _stream_paths
        eventstore.aws: step_functions
        eventstore.dynamodb: numbers replays
        eventstore.dynamodb.schema: replays
        eventstore.http: envelope explain replay_models replays times
        eventstore.log: model
        eventstore.replays: model queue request service
    """,
    "parked": f"""{POWERTOOLS}{DOMAIN}
        eventstore.dynamodb: numbers parked_events
        eventstore.dynamodb.schema: subscriptions
        eventstore.functions: parked
    """,
}

# Not `replay`: a state machine asks it, and waits anyway.
REQUESTS: Final[dict[str, Any]] = {
    "append": event("http_append"),
    "read": event("http_read_stream"),
    "publish": trigger([Event("order-1", 2, "OrderPaid", "null", '{"a":1}', "uid", 1_769_860_800_000_000)]),
    "log": trigger([Event("order-1", 2, "OrderPaid", "null", "{}", "uid", 1_769_860_800_000_000)]),
    "replays": {
        **event("http_read_stream"),
        "rawPath": "/replays/019c1465-3c00-7a51-8d0f-1f6d6d1f6a01",
        "rawQueryString": "",
        "queryStringParameters": {},
    },
    "parked": {"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}},
}

ANSWERS: Final = {
    "BatchGetItem": {"Responses": {}, "UnprocessedKeys": {}},
    "GetItem": {},
    "PutItem": {},
    "Query": {"Items": [], "Count": 0, "ScannedCount": 0},
    "Scan": {"Items": [], "Count": 0, "ScannedCount": 0},
    "PutEvents": {"FailedEntryCount": 0, "Entries": [{"EventId": "11710aed"}]},
}

PROGRAM: Final = """
import json, sys
sys.path[:0] = json.loads(sys.argv[3])

class Context:
    function_name, memory_limit_in_mb, aws_request_id = "f", 512, "52fdfc07"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:f"

    def get_remaining_time_in_millis(self):
        return 60_000

import boto3
boto3.client("dynamodb")
boto3.setup_default_session()
before = set(sys.modules)
function = __import__(sys.argv[1])
started = set(sys.modules)
answer = function.handler(json.loads(sys.argv[2]), Context()) if sys.argv[2] != "null" else None
print(json.dumps([sorted(started - before - {sys.argv[1]}), sorted(set(sys.modules) - started), answer]))
"""


class Aws(BaseHTTPRequestHandler):
    """AWS on 127.0.0.1, empty and content with everything."""

    asked: list[str]

    def do_POST(self) -> None:
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(operation)
        body = json.dumps(ANSWERS[operation]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", "R1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def aws() -> Iterator[tuple[str, list[str]]]:
    """Run it; yield its address and what it will have been asked."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Asked", (Aws,), {"asked": asked}))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def imported(name: str, request: Any = None, *, endpoint: str = "http://127.0.0.1:1") -> tuple[set[str], ...]:
    """Start a function in a process of its own; tell what its start imports, and what its first request."""
    environ = {
        **ENVIRON,
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_ENDPOINT_URL": endpoint,
        "WRITE_SHARDS": "2",
        "LOG_TABLE": "log",
        "LOG_TRANCHES": "4",
        "REPLAYS_TABLE": "replays",
        "SUBSCRIPTIONS_TABLE": "subscriptions",
        "REPLAY_MACHINE": "arn:aws:states:eu-central-1:123456789012:stateMachine:replay",
    }
    arguments = [name, json.dumps(request), json.dumps([str(ROOT / "lambdas"), str(ROOT)])]
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", PROGRAM, *arguments],
        env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    started, first, answer = json.loads(done.stdout.splitlines()[-1])
    good = (None, {"batchItemFailures": []}, {"parked": 0, "areAllCounted": True, "subscriptions": []})
    assert answer in good or answer["statusCode"] in {200, 201, 404}, answer
    return set(started), set(first)


def budget(name: str) -> set[str]:
    """Read a budget: ``package: module module``, one package a line."""
    modules = set()
    for line in BUDGETS[name].split("\n"):
        package, _, names = line.strip().partition(":")
        modules |= {package, *(f"{package}.{module}" for module in names.split())}
    return modules - {""}


def as_listed(module: str) -> str:
    """Return a module as budgets list it: ours whole, of the others two parts of the name."""
    return module if module.startswith("eventstore") else ".".join(module.split(".")[:2])


@pytest.mark.parametrize("name", BUDGETS)
def test_a_start_imports_what_its_budget_lists_and_nothing_else(name: str) -> None:
    started = {as_listed(module) for module in imported(name)[0]}
    # What boto3 itself needs of the standard library differs from version to version of Python.
    assert started - sys.stdlib_module_names == budget(name) - sys.stdlib_module_names
    assert started & sys.stdlib_module_names <= budget(name)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_first_request_imports_nothing_more(name: str) -> None:
    with aws() as (endpoint, asked):
        _, first = imported(name, REQUESTS[name], endpoint=endpoint)
    assert asked, "the request was to go as far as AWS"
    assert first == set()
