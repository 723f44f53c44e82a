"""A peer that runs in Node: requests and answers as lines of JSON, several at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final

from bench.candidates import Conflict

_FOLDER: Final = Path(__file__).parents[2] / ".local" / "bench" / "npm"
_SCRIPTS: Final = Path(__file__).parents[1] / "npm"


class NodeError(Exception):
    """What the peer has thrown, as it says it."""


class NodeProcess:
    """A peer's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._ids = count(1)
        self._lock = Lock()
        self._waiting: dict[int, Future[Any]] = {}
        self._reader = Thread(target=self._read, name="node-peer", daemon=True)
        self._reader.start()

    def call(self, operation: str, **request: Any) -> Any:
        """Have an operation done.

        Raises:
            Conflict, NodeError: what the peer says.
        """
        assert self._process.stdin
        answer: Future[Any] = Future()
        with self._lock:
            number = next(self._ids)
            self._waiting[number] = answer
            line = json.dumps({"id": number, "operation": operation, **request})
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        told = answer.result(timeout=120)
        if "conflict" in told:
            raise Conflict
        if "error" in told:
            raise NodeError(told["error"])
        return told["result"]

    def append(self, stream_id: str, payloads: Sequence[str], *, after: int) -> None:
        """Append events behind version `after`."""
        self.call("append", stream=stream_id, payloads=list(payloads), after=after)

    def load(self, stream_id: str) -> int:
        """Load a stream; return how many events there were."""
        loaded: int = self.call("load", stream=stream_id)
        return loaded

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            answer = json.loads(line)
            self._waiting.pop(answer["id"]).set_result(answer)
        for waiting in self._waiting.values():
            waiting.set_exception(NodeError("the peer's process has ended"))


@contextmanager
def node_process(script: str, endpoint: str, environ: Mapping[str, str]) -> Iterator[NodeProcess]:
    """Run a peer's script in the folder where `npm ci` has installed it."""
    for source in _SCRIPTS.glob("*.mjs"):
        (_FOLDER / source.name).write_text(source.read_text())
    node = Path(sys.executable).parent / "node"
    process = subprocess.Popen(
        [node, "--no-warnings", script],
        cwd=_FOLDER,
        env={
            **os.environ,
            **environ,
            "BENCH_ENDPOINT": endpoint,
            "AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE": "1",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield NodeProcess(process)
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait(timeout=30)
