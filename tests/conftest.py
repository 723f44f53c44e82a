"""What all tests share."""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Generator, Iterator
from typing import Any

import boto3
import botocore.loaders
import pytest
from hypothesis import settings

from tests.dynamodb_local import dynamodb_local
from tests.fake_aws import FakeParameters

# No test rests on the machine's speed.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def dynamodb_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """DynamoDB Local: the one that DYNAMODB_ENDPOINT names, or one of this session's own."""
    running = os.environ.get("DYNAMODB_ENDPOINT")
    if running:
        yield running
        return
    with dynamodb_local(tmp_path_factory.mktemp("dynamodb") / "dynamodb.log") as endpoint:
        yield endpoint


@pytest.fixture(scope="session", autouse=True)
def _models_are_read_once() -> Iterator[None]:
    """Keep what botocore reads of its models: each session reads megabytes, and each command makes one."""
    with pytest.MonkeyPatch.context() as patch:
        loader = botocore.loaders.JSONFileLoader
        read = functools.cache(loader().load_file)
        patch.setattr(loader, "load_file", lambda _self, path: read(path))
        yield


@pytest.fixture
def parameters(monkeypatch: pytest.MonkeyPatch) -> FakeParameters:
    """Have boto3's sessions make an SSM that is a fake, and all other clients as always."""
    found, made = FakeParameters(), boto3.Session.client

    def client(self: Any, service: str, **options: Any) -> Any:
        return found if service == "ssm" else made(self, service, **options)

    monkeypatch.setattr(boto3.Session, "client", client)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among the tests, neither while they are collected nor later: they are many."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Give a worker a file at a time, but tests/infra whole for its dear apps, and the defences singly."""
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415 (where xdist isn't used, nobody calls this)

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            if file.startswith("tests/infra/"):
                return "tests/infra"
            return nodeid if file.endswith("_defences.py") else file

    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write lone surrogates that a test has logged as escapes: a worker of xdist dies of sending them."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have recorded as `told`, also of tests that pass, wherever they ran."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == "told":
                    terminalreporter.write_line(str(value))
