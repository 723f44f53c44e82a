"""Consumers of a table's stream run beside each other; a ministack that isn't the one known runs as it is."""

from __future__ import annotations

import importlib
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from localcloud import emulator
from localcloud.emulator import ConcurrentConsumers

PATIENCE_S = 300


class Polling:
    """What is replaced of ministack's module, with records to consume for each of its mappings."""

    def __init__(self, **records: int) -> None:
        self.left = Counter(records)
        self.consumed: list[str] = []
        self.blocked = threading.Event()
        self.blocked.set()
        self._esm_wake = threading.Event()

    def _iter_all_esms(self) -> Iterator[Any]:
        arn = "arn:aws:dynamodb:us-east-1:000000000000:table/events/stream/1"
        for uuid in sorted(self.left):
            yield "000000000000", "us-east-1", {"UUID": uuid, "EventSourceArn": arn}
        yield "000000000000", "us-east-1", {"UUID": "sqs", "EventSourceArn": "arn:aws:sqs:us-east-1:0:queue"}

    def _poll_dynamodb_streams(self) -> bool:
        processed = False
        for *_, mapping in self._iter_all_esms():
            uuid = mapping["UUID"]
            if self.left[uuid] > 0:
                if uuid == "slow":
                    assert self.blocked.wait(PATIENCE_S)
                self.left[uuid] -= 1
                self.consumed.append(uuid)
                processed = True
        return processed


class Threads:
    """Spawns threads as ministack does, and can wait for all of them."""

    def __init__(self) -> None:
        self.all: list[threading.Thread] = []

    def spawn(self, function: Any, *arguments: Any, thread_name: str) -> None:
        thread = threading.Thread(target=function, args=arguments, name=thread_name, daemon=True)
        self.all.append(thread)
        thread.start()

    def join(self, *names: str) -> None:
        for thread in self.all:
            if not names or thread.name in names:
                thread.join(PATIENCE_S)
                assert not thread.is_alive()


def test_a_slow_consumer_holds_up_no_other() -> None:
    module, threads = Polling(slow=2, quick=5), Threads()
    module.blocked.clear()
    ConcurrentConsumers(module, spawn=threads.spawn)

    assert module._poll_dynamodb_streams() is False
    threads.join("stream-quick")
    assert module.consumed == ["quick"] * 5

    module.left["quick"] += 1
    module._poll_dynamodb_streams()  # and the slow one isn't begun a second time
    threads.join("stream-quick")
    assert module.consumed == ["quick"] * 6
    assert [thread.name for thread in threads.all].count("stream-slow") == 1

    module.blocked.set()
    threads.join()
    assert module.consumed == ["quick"] * 6 + ["slow"] * 2


def test_a_consumer_that_had_records_asks_to_be_looked_at_again() -> None:
    module, threads = Polling(one=1), Threads()
    ConcurrentConsumers(module, spawn=threads.spawn)
    module._poll_dynamodb_streams()
    threads.join()
    assert module._esm_wake.is_set()

    module._esm_wake.clear()
    module._poll_dynamodb_streams()
    threads.join()
    assert not module._esm_wake.is_set()  # else it would be asked without end


def test_a_consumer_that_failed_runs_again() -> None:
    module, threads = Polling(one=1), Threads()
    poll, fails = module._poll_dynamodb_streams, iter([True, False, False])

    def failing() -> bool:
        if next(fails):
            raise RuntimeError("its function is gone")
        return poll()

    module._poll_dynamodb_streams = failing  # type: ignore[method-assign]
    ConcurrentConsumers(
        module,
        spawn=lambda function, uuid, thread_name: threads.spawn(
            lambda: _quietly(function, uuid), thread_name=thread_name
        ),
    )
    for _ in range(2):
        module._poll_dynamodb_streams()
        threads.join()
    assert module.consumed == ["one"]


def _quietly(function: Any, uuid: str) -> None:
    with suppress(RuntimeError):  # ministack's own spawn logs it
        function(uuid)


def test_ministack_is_the_one_known() -> None:
    module: Any = importlib.import_module("ministack.services.lambda_svc")
    poll, mappings = module._poll_dynamodb_streams, module._iter_all_esms
    try:
        ConcurrentConsumers(module, spawn=Threads().spawn)
        assert list(module._iter_all_esms()) == []
        assert module._poll_dynamodb_streams() is False
    finally:
        module._poll_dynamodb_streams, module._iter_all_esms = poll, mappings
    # What the consumers rest on: the poll asks for the mappings by the module's own name for them.
    assert "_iter_all_esms" in poll.__code__.co_names
    assert "_poll_dynamodb_streams" in module._poll_loop.__code__.co_names


@pytest.mark.parametrize("gone", ["_poll_dynamodb_streams", "_iter_all_esms", "_esm_wake"])
def test_a_module_without_what_is_replaced_is_left_as_it_was(gone: str) -> None:
    class Other:
        """A module in which something has another name."""

    module: Any = Other()
    for name in {"_poll_dynamodb_streams", "_iter_all_esms", "_esm_wake"} - {gone}:
        setattr(module, name, name)
    before = dict(vars(module))
    with pytest.raises(AttributeError, match=gone):
        ConcurrentConsumers(module, spawn=Threads().spawn)
    assert vars(module) == before


def test_an_unknown_ministack_runs_as_it_is_and_its_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ran = []

    class App:
        """ministack's app, and modules without anything inside."""

        @staticmethod
        def main() -> None:
            ran.append("ministack.app")

        spawn_background = None

    monkeypatch.setattr(emulator.importlib, "import_module", lambda _name: App)
    emulator.main()
    assert ran == ["ministack.app"]
    assert "its tables are slow" in caplog.text
    assert "takes turns" in caplog.text
