"""The root of the error tree."""

from __future__ import annotations


class EventStoreError(Exception):
    """Any error that this library raises on purpose."""
