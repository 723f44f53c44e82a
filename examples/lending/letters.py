"""A Lambda function behind a queue behind EventBridge: it writes to members who have borrowed a copy."""

from __future__ import annotations

from typing import Any, Final

from eventstore import Seen, parse_published
from examples.lending.copies import CopyLent, codec

seen: Final = Seen()


def handler(batch: dict[str, Any], _context: object) -> None:
    """Write a letter for each copy that was lent: once, as long as this process remembers it."""
    for record in batch["Records"]:
        published = parse_published(record)
        if published.event.name not in codec.names or seen.has(published):
            continue
        event = codec.decode(published.event)
        if isinstance(event, CopyLent):
            print(f"Dear {event.member}, {published.event.stream_id} is due on {event.due:%d %B %Y}.")
        seen.add(published)
