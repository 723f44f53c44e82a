"""A clock for tests: it goes as far as it's told, forward or back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from eventstore.positions import to_us


class FakeClock:
    """Tells the same time until it's moved; give it to a store as its `clock_us`."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.now_us = to_us(start)

    def __call__(self) -> int:
        return self.now_us

    def move(self, by: timedelta) -> None:
        """Step forward, or back by a negative timedelta."""
        self.now_us += by // timedelta(microseconds=1)
