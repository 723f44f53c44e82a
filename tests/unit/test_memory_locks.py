"""What is kept in memory goes on in a forked child, whatever the parent's threads were doing."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BEGIN = """
    import os, sys, threading
    from eventstore import ANY, Append, NewEvent
    from eventstore.memory import locks as memory_locks
    from eventstore.memory.store import MemoryEventStore
    from eventstore.memory.checkpoints import MemoryCheckpoints
    from eventstore.memory.read_model import MemoryReadModel
    from eventstore.memory.log import MemoryEventLog
    from eventstore.memory.replays import MemoryReplays
    from functools import partial
    from tests import forked

    in_child = partial(forked.in_child, patience_s=60)
"""

HELD = """
    log = MemoryEventLog(tranches=1)
    store = MemoryEventStore()
    event = store.append("s", [NewEvent.of("E")], expected=0).events[0]
    kept = {
        "store": (store, lambda: store.head("s")),
        "log": (log, lambda: log.append_block(0, [event])),
        "checkpoints": (checkpoints := MemoryCheckpoints(), lambda: checkpoints.read_group("view")),
        "replays": (replays := MemoryReplays(), lambda: replays.get("r")),
        "read model": (
            model := MemoryReadModel(), lambda: model.write([], projection="p", event=event, after=0)
        ),
    }
    memory_locks._PATIENCE_S = 0.01
    owner, use = kept[sys.argv[1]]
    held, over = threading.Event(), threading.Event()

    def hold():
        with owner._lock:
            held.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    code = in_child(use)
    over.set()
    thread.join()
    use()
    assert code == 0, code
    print("whole")
"""

BUSY = """
    def turn():
        log = MemoryEventLog(tranches=1)
        store = MemoryEventStore(log=log)
        begun, over = threading.Event(), threading.Event()

        def append():
            while not over.is_set():
                store.transact([Append.of(name, [NewEvent.of("E")] * 20, ANY) for name in ("a", "b")])
                begun.set()

        def look():
            counts = [len(list(store.read_stream(name))) for name in ("a", "b")]
            assert counts[0] == counts[1], counts
            assert len(list(log.read_tranche(0))) == sum(counts)
            assert len(list(store.read_all(unsettled=True))) == sum(counts)
            store.append("a", [NewEvent.of("E")], expected=counts[0])

        threads = [threading.Thread(target=append) for _ in range(2)]
        for thread in threads:
            thread.start()
        begun.wait()
        code = in_child(look, meanwhile=over.set)
        for thread in threads:
            thread.join()
        store.append("a", [NewEvent.of("E")], expected=ANY)
        return code

    codes = [turn() for _ in range(10)]
    assert set(codes) == {0}, codes
    print("whole")
"""


def run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(BEGIN) + textwrap.dedent(program), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "whole\n", done.stderr


@pytest.mark.parametrize("kept", ["store", "log", "checkpoints", "replays", "read model"])
def test_lock_that_a_thread_holds_at_the_fork_is_free_in_the_child(kept: str) -> None:
    run(HELD, kept)


def test_child_finds_what_is_kept_whole_while_threads_append() -> None:
    run(BUSY)
