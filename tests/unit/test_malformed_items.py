"""What an item that is no event is told to be: by its attribute, and as it's stored."""

import pytest

from eventstore import Event
from eventstore.dynamodb.items import event_from_item, item_from_event
from eventstore.errors import MalformedItem

ITEM = item_from_event(
    Event("s", 3, "Happened", "1", "{}", "8f7e1c1e-5f3c-4d6f-9a46-0a2b8f6f3a10", 1), shard=0
)


@pytest.mark.parametrize(
    ("attribute", "stored", "told"),
    [
        ("EventId", {"N": "2.5"}, "EventId is 2.5, no whole number"),
        ("Timestamp", {"N": "1.5"}, "Timestamp is 1.5, no whole number"),
        ("Timestamp", {"N": "-1"}, "Timestamp is -1, no time from 1970"),
        ("Epoch", {"N": "1.5"}, "Epoch is 1.5, no whole number"),
        ("Epoch", {"S": "1"}, "'N' is missing or of another type"),
        ("Timestamp", {"S": "1"}, "'N' is missing or of another type"),
    ],
)
def test_malformed_item_is_told_by_the_attribute_that_is_wrong(
    attribute: str, stored: dict[str, str], told: str
) -> None:
    with pytest.raises(MalformedItem, match=f"{told}.*; repair or delete the item"):
        event_from_item({**ITEM, attribute: stored})
