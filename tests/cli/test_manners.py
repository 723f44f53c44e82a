"""What no user's input may do: end a command in a traceback, without a sentence, or with things half done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from eventstore import Event, NewEvent
from eventstore.cli.commands import names
from eventstore.cli.main import main
from eventstore.cli.options import API
from eventstore.cli.signals import Signals
from eventstore.dynamodb.items import key_of
from eventstore.dynamodb.log import DynamoDBEventLog
from eventstore.dynamodb.store import DynamoDBEventStore
from eventstore.maintenance.transfer.export import export
from tests.cli.conftest import Run
from tests.tables import log_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ROOT = Path(__file__).parents[2]
VERIFY = ("verify", "--table", "none")
REPUBLISH = ("republish", "--table", "t", "--bus", "b", "--api-url", "https://a", "--stream", "s")
REDRIVE = ("redrive", "--table", "t", "--bus", "b", "--api-url", "https://a", "--queue-url", "https://q/1/q")


def process(
    *arguments: object, environ: dict[str, str] | None = None, before: str = "", **options: Any
) -> subprocess.CompletedProcess[str]:
    code = f"import sys\n{before}\nfrom eventstore.cli.main import main\nsys.exit(main())"
    command = [sys.executable, "-W", "error"]
    command += ["-c", code] if before else ["-m", "eventstore"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        cwd=ROOT, env={**os.environ, **(environ or {})}, text=True, check=False, timeout=120,
        **({"capture_output": True} | options),
    )  # fmt: skip


@pytest.mark.parametrize("command", names())
def test_help_needs_click_alone_of_what_has_to_be_installed(command: str) -> None:
    blocked = "sys.modules.update(dict.fromkeys(['rich', 'boto3', 'botocore']))"

    done = process(command, "--help", before=blocked)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: eventstore {command} " in done.stdout


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        ("rich", VERIFY),
        ("boto3", VERIFY),
        *(("click", arguments) for arguments in (VERIFY, ("--version",), ("--help",), ())),
    ],
)
def test_command_without_its_extra_says_what_to_install(missing: str, arguments: tuple[str, ...]) -> None:
    done = process(*arguments, before=f"sys.modules['{missing}'] = None")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{missing} isn't installed here: pip install 'eventstore-dynamodb[cli]'\n"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"AWS_ENDPOINT_URL_DYNAMODB": "localhost:8000"}, "Invalid endpoint: localhost:8000"),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://[::1"}, "AWS_ENDPOINT_URL"),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9"}, "DynamoDB can't be reached"),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://no-such-host.invalid"}, "DynamoDB can't be reached"),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://a..b"}, "AWS_ENDPOINT_URL"),
        ({"AWS_REGION": ""}, "there is no AWS Region that can be used"),
        ({"AWS_REGION": "eu central 1"}, "eu central 1"),
        ({"AWS_PROFILE": "nobody"}, "nobody"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "there are no AWS credentials"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS"),
        ({"AWS_ACCESS_KEY_ID": "ключ"}, "the access key (AWS_ACCESS_KEY_ID), found by 'env', has char"),
        ({"AWS_SECRET_ACCESS_KEY": "ключ"}, "the secret key (AWS_SECRET_ACCESS_KEY), found by 'env', has"),
        ({"AWS_SESSION_TOKEN": "a\nb"}, "the session token (AWS_SESSION_TOKEN), found by 'env', has char"),
        ({}, "there is no such table in this account and region (--table 'none'"),
    ],
)  # fmt: skip
def test_trouble_with_aws_is_a_sentence(
    *, client: DynamoDBClient, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    environ: dict[str, str], told: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the client's tries
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
        if not value:
            monkeypatch.delenv(name)

    code, out, err = run(*VERIFY)

    assert (code, out) == (2, "")
    assert told in err


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_credentials_that_no_header_can_carry_are_refused_unshown(
    client: DynamoDBClient, run: Run, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "hidden\nhidden")

    code, out, err = run(*VERIFY)

    assert (code, out) == (2, "")
    assert variable in err
    assert "hidden" not in err


def test_region_of_the_environment_is_that_of_the_aws_cli(
    client: DynamoDBClient, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "no region at all")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert "no such table" in run(*VERIFY)[2]
    monkeypatch.setenv("AWS_REGION", "")

    assert "no region at all" in run(*VERIFY)[2]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((*VERIFY, "--segments", "9" * 5_000), "must be a whole number"),
        ((*VERIFY, "--settling-s", "-1"), "must be a whole number"),
        ((*VERIFY, "--output", "/no/such/folder/file"), "there is no such folder"),
        ((*VERIFY, "--output", ROOT), "Is a directory"),
        ((*VERIFY, "--checkpoints", __file__), "File exists"),
        (("import", __file__, "--parallel", "0", "--check-only"), "must be a whole number from 1"),
        (("import", __file__, "--parallel", "²", "--check-only"), "must be a whole number from 1"),
        (("import", ROOT, "--check-only"), "Is a directory"),
        (("import", "/no/such/file", "--check-only"), "No such file"),
        ((*REDRIVE, "--put-events-max-bytes", "1"), "must be a whole number from 16,384"),
        ((*REDRIVE, "--event-source", ""), "it must be 1-256 letters, digits"),
        ((*REDRIVE, "--event-source", "aws.shop"), "which is EventBridge's own"),
        ((*REDRIVE, "--event-source", "https://shop.example/"), "it must be 1-256 letters, digits"),
        ((*REPUBLISH, "--put-events-max-bytes", "1"), "must be a whole number from 16,384"),
        ((*REPUBLISH, "--event-source", "aws.shop"), "which is EventBridge's own"),
        ((*REPUBLISH, "--api-url", "a.example.com"), "--api-url: is 'a.example.com'; it has to begin"),
        ((*REDRIVE, "--api-url", "a.example.com"), "--api-url: is 'a.example.com'; it has to begin"),
        ((*REDRIVE, "--queue-url", "failed"), "--queue-url: is 'failed'; it has to begin with https"),
        ((*REDRIVE, "--queue-url", "https://[x/"), "--queue-url: is 'https://[x/'"),
    ],
)  # fmt: skip
def test_option_that_can_not_be_is_refused(
    client: DynamoDBClient, table: str, run: Run, arguments: tuple[object, ...], told: str
) -> None:
    code, out, err = run(*(table if each in {"t", "none"} else each for each in arguments))

    assert (code, out) == (2, "")
    assert told in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "--table", "log"),
        ("verify", "--table", "t", "--log-table", "t"),
        ("republish", "--table", "log", "--bus", "b", "--api-url", "https://a", "--stream", "s"),
        ("export", "made.gz", "--table", "log"),
        ("export", "made.gz", "--table", "log", "--from", "2026-01-01T00:00:00Z"),
        ("import", "given.gz", "--table", "log", "--into-existing"),
    ],
)
def test_table_of_another_kind_is_refused(
    *, client: DynamoDBClient, table: str, run: Run, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    event = Event("s", 1, "Happened", "1", "{}", "8f7e1c1e-5f3c-4d6f-9a46-0a2b8f6f3a10", 1)
    export([event], tmp_path / "given.gz", settled_until="2026-01-01T00:00:00+00:00")
    with log_table(client) as log:
        DynamoDBEventLog(client=client, table_name=log).append_block(3, [event])
        names = {"t": table, "log": log, "made.gz": tmp_path / "made.gz", "given.gz": tmp_path / "given.gz"}

        code, out, err = run(*(names.get(each, each) for each in arguments))

    assert (code, out) == (2, "")
    assert "not an events table" in err or "ValidationException" in err
    assert not (tmp_path / "made.gz").exists()


def test_address_loses_the_slash_at_its_end(run: Run) -> None:
    class Options:
        api_url = "https://a.example.com/v1/"

    assert API.url(Options) == "https://a.example.com/v1"  # type: ignore[arg-type]


@pytest.fixture
def broken(client: DynamoDBClient, table: str) -> str:
    """A table with a gap in each of many streams, so that the findings don't fit into a pipe's buffer."""
    store = DynamoDBEventStore(client=client, table_name=table)
    for n in range(3):
        stream = f"größe/\U0001f680/{n}"
        store.append(stream, [NewEvent.of("Happened")] * 2, expected=0)
        client.delete_item(TableName=table, Key=key_of(stream, 1))
    return table


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_findings_are_json_whatever_the_encoding_of_standard_output(broken: str, encoding: str) -> None:
    done = process(
        "verify", "--table", broken, "--settling-s", 0,
        environ={"PYTHONIOENCODING": encoding}, encoding=encoding,
    )  # fmt: skip

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert sorted(json.loads(line)["streamId"] for line in done.stdout.splitlines()) == [
        f"größe/\U0001f680/{n}" for n in range(3)
    ]


@pytest.mark.parametrize("arguments", [("--help",), ("verify", "--settling-s", "0")])
def test_output_that_nobody_reads_ends_a_command_quietly(broken: str, arguments: tuple[str, ...]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        done = process(
            *arguments, environ={"EVENTS_TABLE": broken, "PYTHONUNBUFFERED": ""}, capture_output=False,
            stdout=writes, stderr=subprocess.PIPE,
        )  # fmt: skip
    finally:
        os.close(writes)

    assert done.returncode == 141
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_progress_that_nobody_reads_ends_nothing(broken: str) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        done = process(
            "verify", "--table", broken, "--settling-s", 0,
            capture_output=False, stdout=subprocess.PIPE, stderr=writes,
        )  # fmt: skip
    finally:
        os.close(writes)

    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 3


class _Queue(BaseHTTPRequestHandler):
    """SQS with 12 parked events; at its second answer the process that asks gets a signal."""

    signalled: int
    ends: signal.Signals
    asked: list[tuple[str, Any]]

    def do_POST(self) -> None:
        operation = self.headers["X-Amz-Target"].partition(".")[2]
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        received = sum(name == "ReceiveMessage" for name, _ in self.asked)
        self.asked.append((operation, request))
        answer: dict[str, Any] = {}
        if operation == "ReceiveMessage" and received < 2:
            if received == 1:
                # The worst moment: the queue has given messages away, and nobody knows of them yet.
                os.kill(self.signalled, self.ends)
            body = json.dumps({"streamId": "s", "eventId": 1, "reason": "x"})
            numbers = range(10) if received == 0 else range(10, 12)
            answer["Messages"] = [
                {"MessageId": f"m{n}", "ReceiptHandle": f"r{n}", "Body": body} for n in numbers
            ]
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("x-amzn-RequestId", "0")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("x-amzn-RequestId", "R1")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize(
    ("command", "ends"),
    [
        *(("redrive", ends) for ends in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)),
        ("republish", signal.SIGTERM),
    ],
)
def test_signal_leaves_no_message_of_a_queue_hidden(table: str, command: str, ends: signal.Signals) -> None:
    class Queue(_Queue):
        pass

    Queue.ends, Queue.asked = ends, []
    with serving(Queue) as address:
        environ = {"AWS_ENDPOINT_URL_SQS": address, "AWS_ENDPOINT_URL_EVENTS": "http://127.0.0.1:9"}
        queue = {"redrive": "--queue-url", "republish": "--dropped-queue-url"}[command]
        arguments = [*REDRIVE[1:-2], "--table", table, queue, f"{address}/1/failed"]
        with subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "eventstore", command, *arguments],
            cwd=ROOT, env={**os.environ, **environ}, stderr=subprocess.PIPE, text=True,
        ) as process_:  # fmt: skip
            Queue.signalled = process_.pid
            _, err = process_.communicate(timeout=120)

    shown = {
        entry["ReceiptHandle"]
        for operation, request in Queue.asked
        if operation == "ChangeMessageVisibilityBatch"
        for entry in request["Entries"]
    }
    assert shown == {f"r{n}" for n in range(12)}, err
    assert process_.returncode == 130
    assert "Interrupted." in err
    assert "Traceback" not in err


class _Between(BaseHTTPRequestHandler):
    """DynamoDB, with a signal for the process that asks, at the nth request of one operation."""

    endpoint: str
    at: tuple[str, int]
    signalled: int
    count = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].partition(".")[2]
        if operation == self.at[0]:
            type(self).count += 1
            if self.count == self.at[1]:
                os.kill(self.signalled, signal.SIGINT)
        forward = HTTPConnection(self.endpoint.removeprefix("http://"), timeout=60)
        forward.request("POST", "/", body, dict(self.headers))
        answer = forward.getresponse()
        text = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() in {"content-type", "x-amzn-requestid", "x-amz-crc32", "date"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        with suppress(ConnectionError):  # the process may have ended
            self.wfile.write(text)
        forward.close()

    def log_message(self, *_: object) -> None: ...


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize(
    ("arguments", "operation", "number"),
    [
        (("export", "made.gz", "--segments", "3"), "Scan", 2),
        (("import", "given.gz", "--parallel", "2"), "PutItem", 5),
        (("verify", "--settling-s", "0", "--output", "findings"), "Query", 1),
    ],
)
def test_interrupted_command_exits_130_and_leaves_nothing_half_made(
    *, client: DynamoDBClient, table: str, tmp_path: Path, dynamodb_endpoint: str,
    arguments: tuple[str, ...], operation: str, number: int,
) -> None:  # fmt: skip
    class Between(_Between):
        endpoint, at = dynamodb_endpoint, (operation, number)

    uids = iter(range(1, 1_000))
    events = [
        Event(f"s{n}", version, "Happened", "1", "{}", str(UUID(int=next(uids))), version * 10 + n)
        for n in range(9)
        for version in (1, 2)
    ]
    export(events, tmp_path / "given.gz", settled_until="2026-01-01T00:00:00+00:00")
    if arguments[0] != "import":
        DynamoDBEventStore(client=client, table_name=table).append("s", [NewEvent.of("Happened")], expected=0)
    (tmp_path / "findings").write_text("of an earlier run")
    before = sorted(tmp_path.iterdir())
    with serving(Between) as address, subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "eventstore", *arguments, "--table", table],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "AWS_ENDPOINT_URL_DYNAMODB": address},
    ) as process_:  # fmt: skip
        Between.signalled = process_.pid
        _, err = process_.communicate(timeout=120)

    assert (process_.returncode, err.splitlines()[-1]) == (130, "Interrupted.")
    assert "Traceback" not in err
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "findings").read_text() == "of an earlier run"
    if arguments[0] == "import":
        there = [item for item in client.scan(TableName=table)["Items"] if item["EventId"]["N"] != "0"]
        assert 0 < len(there) < len(events)
        code = main(
            ["import", str(tmp_path / "given.gz"), *arguments[2:], "--table", table, "--into-existing"]
        )
        assert code == 0


@pytest.mark.usefixtures("default_signals")
def test_first_signal_raises_and_the_next_do_not_interrupt_the_cleaning_up() -> None:
    Signals().install()

    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGHUP)


def test_signal_that_the_process_was_started_to_ignore_stays_ignored() -> None:
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    installing = "from eventstore.cli.signals import Signals; Signals().install()\n"
    kill = "import os; os.kill(os.getpid(), signal.SIGHUP); print('alive')"

    done = subprocess.run(
        [sys.executable, "-c", ignoring + installing + kill],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stdout == "alive\n"
