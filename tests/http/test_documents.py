"""The documents are made from the code, and say everything that the code can answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from eventstore import errors as domain
from eventstore.http import errors as http
from eventstore.http.docs.__main__ import OPENAPI, documents
from eventstore.http.docs.openapi import PROBLEMS, openapi_document
from eventstore.http.problems import PROBLEM_TYPES
from eventstore.http.routes import OPERATIONS
from eventstore.memory.store import MemoryEventStore
from tests.http.gateway import Gateway

ROOT = Path(__file__).parents[2]

# What the HTTP API never meets: it appends to one stream a request, publishes nothing, and runs no
# subscription.
ELSEWHERE = {
    domain.BadExport,
    domain.CompressionUnavailable,  # the functions have every codec
    domain.FailedEventsUnavailable,
    domain.FileExists,
    domain.HandlerFailed,
    domain.HandlerUnavailable,
    domain.HeadNotInStream,  # nobody sends a Head
    domain.LogWritingStopped,
    domain.InvalidArgument,  # a function of the library that is called with another type
    domain.InvalidCodec,
    domain.InvalidDecision,
    domain.InvalidPublishedEvent,
    domain.InvalidStoreParameter,
    domain.InvalidSubscriptionName,
    domain.LeaseLost,
    domain.MalformedSubscriptionItem,
    domain.NotPublishable,
    domain.NotSynchronous,
    domain.LogInUse,
    domain.OtherVerification,
    domain.BadCheckpoints,
    domain.PublicationStopped,
    domain.EventsMissing,
    domain.ReadModelRefused,
    domain.RepeatedStream,
    domain.StoreNotEmpty,
    domain.StoreUnavailable,
    domain.SubscriptionNotFound,
    domain.TranchesChanged,
    domain.UndecodableEvent,  # the functions decode nothing
    domain.UnknownEventName,
    domain.UnknownStore,
    domain.WorkerIdInUse,
    domain.WorkerRunning,
}


@pytest.mark.parametrize("path", documents(), ids=str)
def test_documents_have_not_drifted_from_the_code(path: Path) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == documents()[path], "run `make openapi`"


def test_document_is_openapi_3_1() -> None:
    document = openapi_document()
    assert document["openapi"] == "3.1.0"
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_document_is_served_as_it_is_checked_in() -> None:
    answer = Gateway(MemoryEventStore()).get("/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == json.loads((ROOT / OPENAPI).read_text(encoding="utf-8"))


def test_examples_are_valid_by_their_schemas() -> None:
    document = openapi_document()
    checked = 0
    for content in _contents(document["paths"]):
        schema = {**content["schema"], "components": document["components"]}
        examples = [of["value"] for of in content.get("examples", {}).values()]
        for example in [*examples, *([content["example"]] if "example" in content else [])]:
            Draft202012Validator(schema).validate(example)
            checked += 1
    assert checked > 60


def test_every_operation_is_documented() -> None:
    documented = {
        (method.upper(), path, of["operationId"])
        for path, item in openapi_document()["paths"].items()
        for method, of in item.items()
    }
    assert documented == {(of.method, of.path, of.name) for of in OPERATIONS}


def test_every_error_is_a_problem_of_its_own_type() -> None:
    # Of the deployment's setup a client is told nothing: it's `internal`, and the log has the cause.
    of_setup = set(_leaves(domain.StoreMisconfigured))
    leaves = set(_leaves(domain.EventStoreError)) - ELSEWHERE - of_setup
    assert {of for of in leaves if of.__module__.startswith((domain.__name__, http.__name__))} <= set(
        PROBLEM_TYPES
    )
    names = [kind.name for kind in PROBLEM_TYPES.values()]
    assert len(set(names)) == len(names)


def test_every_problem_is_documented_for_an_operation() -> None:
    assert {error for errors in PROBLEMS.values() for error in errors} == {*PROBLEM_TYPES, Exception}


def test_no_function_makes_the_document() -> None:
    code = (
        "import sys, eventstore.functions.http; from eventstore.http import append, read; "
        "print([m for m in sys.modules if m.split('.')[0] in {'boto3', 'pydantic'} "
        "or m.startswith(('eventstore.http.docs', 'eventstore.memory'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _leaves(error: type[Exception]) -> Iterator[type[Exception]]:
    if not error.__subclasses__() or error is domain.VersionConflict:
        yield error
    for inner in error.__subclasses__():
        yield from _leaves(inner)


def _contents(value: object) -> Iterator[dict[str, dict[str, object]]]:
    if isinstance(value, dict):
        if isinstance(value.get("content"), dict):
            yield from value["content"].values()
        for inner in value.values():
            yield from _contents(inner)
