"""Where the peers are installed, and how they're opened: only the benchmark depends on them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from bench.candidates import Opens

_PYTHON: Final = Path(__file__).parents[2] / ".local" / "bench" / "python"


def open_peers() -> tuple[tuple[Opens, ...], tuple[Opens, ...]]:
    """Find the peers that `make bench` has installed; returns those in Python and those in Node."""
    # Behind everything else: what the peers need and .venv has too comes from there.
    sys.path.append(str(_PYTHON))
    from bench.peers.aett import open_aett
    from bench.peers.castore import open_castore
    from bench.peers.event_store_adapter import open_event_store_adapter
    from bench.peers.eventsourcing import open_eventsourcing

    return (open_eventsourcing, open_aett), (open_castore, open_event_store_adapter)
