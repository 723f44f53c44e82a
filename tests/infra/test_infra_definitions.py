"""Tables that are made for development have the keys and indexes of those that are deployed."""

from __future__ import annotations

import json
from typing import Any

from eventstore.dynamodb.table_definitions import DEFINITIONS
from tests.infra.conftest import Synthesized

DEPLOYED = {
    "events": "EventsTable4B7491D3",
    "log": "LogTable81E80B89",
    "subscriptions": "SubscriptionsTable34714BC1",
    "replays": "ReplaysTable0996A4FF",
    "journal": "JournalTableE0A5D4A5",
}


def keys_of(definition: Any) -> dict[str, Any]:
    attributes = sorted(definition["AttributeDefinitions"], key=json.dumps)
    indexes = definition.get("GlobalSecondaryIndexes", [])
    return {"keys": definition["KeySchema"], "attributes": attributes, "indexes": indexes}


def test_definitions_are_those_of_the_templates(prod: Synthesized) -> None:
    tables = prod.resources("AWS::DynamoDB::GlobalTable")
    assert DEFINITIONS.keys() == DEPLOYED.keys()
    for kind, logical_id in DEPLOYED.items():
        assert keys_of(DEFINITIONS[kind]) == keys_of(tables[logical_id]["Properties"]), kind
