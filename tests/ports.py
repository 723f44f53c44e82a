"""Ports that can be had again after a server has ended."""

from __future__ import annotations

import random
from contextlib import suppress

from localcloud.processes import LocalCloudError, free_port


def lasting_port() -> int:
    """Find a free port that the system gives to no connection meanwhile: they begin at 32768."""
    while True:
        with suppress(LocalCloudError):
            return free_port(random.randrange(20_000, 32_000))
