"""What a deployment says about itself: read strictly, with how to repair what can't be read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventstore._store_parameter import VERSION, StoreParameter, parameter_name
from eventstore.errors import InvalidStoreParameter, UnknownStore

DEPLOYED = StoreParameter(
    events_table="events",
    log_table="log",
    subscriptions_table="subscriptions",
    event_bus="bus",
    api_url="https://api.example.com",
    event_source="shop",
    failed_events_queue_url="https://sqs.example.com/1/failed",
    settling_s=12.5,
    compression="zlib",
    clocks="checked",
)


def parse(**changes: Any) -> StoreParameter:
    members = {key: value for key, value in {**DEPLOYED.members(), **changes}.items() if value is not None}
    return StoreParameter.parse(json.dumps(members), parameter="/eventstore/prod")


def test_what_is_written_is_read_whatever_a_later_version_adds() -> None:
    assert parse() == DEPLOYED
    assert parse(later="member", writeShards=4) == DEPLOYED


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": VERSION + 1}, "is of version 2, and this library knows 1: install a newer one"),
        ({"version": None}, "has the version None, not 1: deploy the service stack again"),
        ({"version": "1"}, "has the version '1'"),
        ({"eventsTable": None}, "eventsTable is None; it must be a text without spaces"),
        ({"logTable": "a b"}, "logTable is 'a b'"),
        ({"settlingS": "soon"}, "settlingS is 'soon'"),
        ({"compression": "brotli"}, "compression is 'brotli'"),
        ({"clocks": "free"}, "clocks is 'free'"),
    ],
)
def test_changed_parameter_is_named_with_its_fault(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidStoreParameter, match=f"the parameter /eventstore/prod {reason}"):
        parse(**changes)


@pytest.mark.parametrize("text", ["{", "[]", "null", ""])
def test_parameter_that_is_no_object_is_named(text: str) -> None:
    with pytest.raises(InvalidStoreParameter, match="is not JSON|is no JSON object"):
        StoreParameter.parse(text, parameter="/eventstore/prod")


@pytest.mark.parametrize("store", ["", "a/b", "-prod", "x" * 65, "prod ", 7])
def test_name_that_no_deployment_has_is_refused_before_anything_is_asked(store: Any) -> None:
    with pytest.raises(UnknownStore):
        parameter_name(store)
    assert parameter_name("prod-2") == "/eventstore/prod-2"
