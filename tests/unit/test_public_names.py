"""The public surface: a change here is a change that users see."""

import subprocess
import sys
from pathlib import Path

import eventstore
from eventstore import errors

ROOT = Path(__file__).parents[2]


def test_public_names_are_pinned() -> None:
    assert set(eventstore.__all__) == {
        "ANY", "EXISTS", "AllEvents", "Append", "Appended", "BlockPosition",
        "CompressionUnavailable", "DuplicateEventUid",
        "EmptyAppend", "Event", "EventLog", "EventStore", "EventStoreError", "EventTooLarge", "Executed",
        "Expect", "Expected", "ExpectedVersionAhead", "FailedEventsUnavailable", "Head", "IndexingStopped",
        "InvalidEventName", "InvalidEventUid", "InvalidExpectedVersion", "InvalidInput", "InvalidJson",
        "InvalidLimit", "InvalidPosition", "InvalidRange", "InvalidReplay", "InvalidStreamId", "LogEntry",
        "LogPage",
        "LogPosition", "MalformedBlock", "MalformedItem", "NewEvent", "NotPublishable", "Position",
        "PublicationStopped",
        "RepeatedStream", "ReplayNotFound", "ReplayOver", "ReplayTargetNotAllowed",
        "StoreUnavailable", "StreamNotFound", "TooManyEvents", "TranchesChanged",
        "TransactionTooLarge", "VersionConflict", "HandlerFailed", "InvalidSubscription",
        "InvalidSubscriptionName", "LeaseLost", "ReadModelRefused",
        "SubscriptionNotFound", "execute", "read_log",
    }  # fmt: skip


def test_every_error_is_public_and_in_the_tree_that_the_docstring_draws() -> None:
    leaves = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.EventStoreError)
    }
    for name in leaves:
        assert name in eventstore.__all__
        assert name in (errors.__doc__ or "")


def test_importing_the_library_imports_no_third_party() -> None:
    code = (
        "import sys, eventstore, eventstore.adapters.memory, eventstore.adapters.memory_log\n"
        "import eventstore.adapters.dynamodb.schema, eventstore.adapters.dynamodb.log_schema\n"
        "print({name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names - {'__main__'})"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "{'eventstore'}"
