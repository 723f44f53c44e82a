"""`python -m localcloud` as a process: its errors, its output, what it takes from its environment."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from localcloud.cloud import Cloud
from localcloud.processes import HOST, ROOT, free_port


def command(
    *arguments: str, python: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *python, "-m", "localcloud", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "events.ndjson"
    path.write_text('{"streamId":"s","eventName":"E","payload":1}\n')
    return path


def assert_refused(ended: subprocess.CompletedProcess[str], words: str) -> None:
    assert ended.returncode in {1, 2}
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_help_needs_nothing_that_is_installed() -> None:
    for arguments in (["--help"], ["run", "--help"], ["load", "--help"]):
        ended = command(*arguments, python=("-S",))
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.startswith("usage: python -m localcloud")


def test_a_command_without_its_packages_says_how_to_install_them(tmp_path: Path) -> None:
    ended = command("--folder", str(tmp_path), "run", python=("-S",))
    assert_refused(ended, "is not installed. Use `make run`")


def test_a_kept_store_that_can_not_be_read_ends_the_run_with_the_repair(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "store.db").write_bytes(b"of another program" * 99)
    ended = command("--folder", str(tmp_path), "run", KEEP="1")
    assert_refused(ended, f"The kept store in {tmp_path}/kept can't be used")
    assert "make clean-local" in ended.stderr

    assert command("--folder", str(tmp_path), "clean").returncode == 0
    assert not (tmp_path / "kept").exists()


def test_a_kept_store_whose_port_is_taken_ends_the_run_with_the_repair(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = command("--folder", str(tmp_path), "run", KEEP="1", PORT=port)
    assert_refused(ended, f"Port {port} of {HOST} can't be had")
    assert "KEEP=1 PORT=4571 make run" in ended.stderr


@pytest.mark.parametrize("parallel", ["0", "-1", "two", "1.5", ""])
def test_parallel_has_to_be_a_positive_number(file: Path, parallel: str) -> None:
    ended = command("load", str(file), "--url", "http://127.0.0.1:1", f"--parallel={parallel}")
    assert_refused(ended, "--parallel: ")


@pytest.mark.parametrize("url", ["127.0.0.1:4566", "localhost", "ftp://x/", "http://", "http://x:y/", ""])
def test_url_has_to_be_one_of_http(file: Path, url: str) -> None:
    assert_refused(command("load", str(file), f"--url={url}"), "is not the address of an API")


@pytest.mark.parametrize("port", ["many", "1.5"])
def test_port_of_the_environment_has_to_be_a_number(port: str) -> None:
    assert_refused(command("run", PORT=port), "--port: invalid int value")


def test_port_that_is_no_port_is_an_error(tmp_path: Path) -> None:
    for port in ("70000", "-1"):
        assert_refused(command("--folder", str(tmp_path), "run", f"--port={port}"), f"Port {port} of")


def test_empty_port_of_the_environment_is_none(tmp_path: Path, file: Path) -> None:
    ended = command("--folder", str(tmp_path), "load", str(file), PORT="")
    assert_refused(ended, "No local cloud is up")


def test_folder_that_is_a_file_is_an_error(file: Path) -> None:
    assert_refused(command("--folder", str(file), "run"), "can't be used as a folder")
    assert_refused(command("--folder", str(file), "load", str(file)), "state.json can't be read")


def test_file_that_can_not_be_read_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", tmp_path / ("x" * 300)):
        ended = command("load", str(path), "--url", "http://127.0.0.1:1")
        assert_refused(ended, str(path))


class _NoApi(BaseHTTPRequestHandler):
    """A server that isn't the API: it refuses as a gateway does, without a problem."""

    def do_POST(self) -> None:
        body = b'{"message":"Forbidden"}'
        self.send_response(403)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


@pytest.fixture
def no_api() -> Iterator[str]:
    with HTTPServer((HOST, 0), _NoApi) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_refusal_that_is_not_the_apis_own_is_told_as_it_came(file: Path, no_api: str) -> None:
    ended = command("load", str(file), "--url", no_api)
    assert_refused(ended, '403 {"message":"Forbidden"}')
    assert "0 events appended, 0 already there, 1 failed" in ended.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_output_of_any_encoding_is_written(tmp_path: Path, no_api: str, encoding: str) -> None:
    file = tmp_path / "Ereignisse-\u2713.ndjson"
    file.write_text('{"streamId":"s-\u2713","eventName":"E","payload":1}\n', encoding="utf-8")
    ended = command("load", str(file), "--url", no_api, PYTHONIOENCODING=encoding)
    assert_refused(ended, "stream 's-")
    assert "1 events in 1 streams go to" in ended.stdout
    assert ("✓" in ended.stdout) == (encoding == "utf-8")


@pytest.mark.parametrize("arguments", [["--help"], ["load", "FILE", "--url", "URL"]], ids=["help", "load"])
def test_output_that_nobody_reads_ends_the_command_quietly(
    arguments: list[str], file: Path, no_api: str
) -> None:
    given = [{"FILE": str(file), "URL": no_api}.get(argument, argument) for argument in arguments]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "localcloud", *given],
            cwd=ROOT,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert ended.returncode == (0 if arguments == ["--help"] else 1)
    assert ended.stderr == ""


def test_session_takes_nothing_from_the_users_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_api: str
) -> None:
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))  # and doesn't listen
        proxy = f"http://{HOST}:{nobody.getsockname()[1]}"
        for name, value in {
            "AWS_ENDPOINT_URL": "localhost:4566",
            "AWS_ENDPOINT_URL_SQS": "not an address",
            "AWS_PROFILE": "none of mine",
            "AWS_DEFAULT_REGION": "nowhere",
            "AWS_CONFIG_FILE": str(tmp_path / "none"),
            "AWS_CA_BUNDLE": str(tmp_path / "none"),
            "AWS_USE_FIPS_ENDPOINT": "true",
            "AWS_USE_DUALSTACK_ENDPOINT": "true",
            "AWS_MAX_ATTEMPTS": "many",
            "AWS_RETRY_MODE": "never",
            "HTTP_PROXY": proxy,
            "http_proxy": proxy,
            "NO_PROXY": "",
            "no_proxy": "",
        }.items():
            monkeypatch.setenv(name, value)
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            cloud = Cloud(port=free_port(), folder=tmp_path, process=process)  # type: ignore[arg-type]
        sqs = cloud.session().client("sqs", endpoint_url=no_api)

        with pytest.raises(sqs.exceptions.ClientError, match="403"):
            sqs.list_queues()

    assert sqs.meta.endpoint_url == no_api
    assert sqs.meta.region_name == "us-east-1"
    # And what it starts sees this cloud only.
    assert {name: value for name, value in cloud.environment().items() if "ENDPOINT_URL" in name} == {
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_ENDPOINT_URL_S3": cloud.endpoint,
    }
