"""Functions that return before their work is done: every kind is refused, and what was done passes."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import io
import itertools
import multiprocessing.pool
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple
from unittest.mock import AsyncMock, MagicMock, Mock, create_autospec

import pytest

from eventstore._synchronous import _LOOKED_AT, check_finished, check_synchronous, name_of
from eventstore.errors import InvalidSubscription, NotSynchronous


async def later(*_: object) -> None: ...


async def later_generator(*_: object) -> AsyncIterator[int]:
    yield 1


def generator(*_: object) -> Iterator[int]:
    yield 1


@contextlib.contextmanager
def context(*_: object) -> Iterator[None]:
    yield


class Async:
    async def __call__(self, *_: object) -> None: ...

    async def handle(self, *_: object) -> None: ...

    @classmethod
    async def of_class(cls, *_: object) -> None: ...

    @staticmethod
    async def static(*_: object) -> None: ...


class Plain:
    def handle(self, event: object) -> None: ...


class Yields:
    def __call__(self, *_: object) -> Iterator[int]:
        yield 1


class OwnAwaitable:
    def __await__(self) -> Iterator[None]:
        yield


class AsyncOnly:
    def __aiter__(self) -> AsyncOnly:
        return self

    async def __anext__(self) -> None: ...


class Answer(NamedTuple):
    status: int
    body: object


@dataclass(frozen=True, slots=True)
class Sent:
    what: str
    how: object


class Own(collections.UserList[object]):
    pass


class Failing(Own):
    def __iter__(self) -> Iterator[object]:
        raise OSError("not to be read now")


def endless() -> list[object]:
    made: list[object] = []
    made.extend((made, later()))
    return made


SHOWN: Final[dict[str, Callable[..., object]]] = {
    "async function": later,
    "async generator function": later_generator,
    "generator function": generator,
    "async lambda": AsyncMock(),
    "async __call__": Async(),
    "generator __call__": Yields(),
    "bound method": Async().handle,
    "class method": Async.of_class,
    "static method": Async.static,
    "partial": functools.partial(later, 1),
    "partial of a partial of a bound method": functools.partial(functools.partial(Async().handle, 1), 2),
    "partial of an object": functools.partial(Async(), 1),
    "bound __call__": Async().__call__,
}


def future() -> Future[None]:
    return Future()


def asyncio_future() -> object:
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        return loop.create_future()


def pool_result() -> Any:
    with multiprocessing.pool.ThreadPool(1) as pool:
        return pool.apply_async(abs, (1,))


RUNNING: Final[list[Callable[[], object]]] = []
"""What ends that which the cases below have begun."""


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Iterator[None]:
    yield
    for end in RUNNING:
        end()


def thread() -> threading.Thread:
    over = threading.Event()
    made = threading.Thread(target=over.wait)
    made.start()
    RUNNING.extend((over.set, made.join))
    return made


def process() -> subprocess.Popen[bytes]:
    made = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    RUNNING.extend((made.communicate,))
    return made


def child() -> multiprocessing.process.BaseProcess:
    """Not started: what the parent is told of it doesn't depend on that."""
    return multiprocessing.get_context("spawn").Process(target=print)


def call_soon() -> object:
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        return loop.call_soon(print)


def imap() -> Any:
    with multiprocessing.pool.ThreadPool(1) as pool:
        return pool.imap(abs, (1,))


def ended_thread() -> threading.Thread:
    made = threading.Thread(target=print)
    made.start()
    made.join()
    return made


def exited() -> subprocess.Popen[bytes]:
    made = subprocess.Popen([sys.executable, "-c", ""])
    made.wait()
    return made


RETURNED: Final[dict[str, Callable[[], object]]] = {
    "coroutine": later,
    "generator": generator,
    "async generator": later_generator,
    "future": future,
    "asyncio future": asyncio_future,
    "awaitable object": OwnAwaitable,
    "context manager": context,
    "asynchronous context manager": contextlib.asynccontextmanager(later_generator),
    "map": lambda: map(abs, [1]),
    "result of a pool": pool_result,
    "thread that runs": thread,
    "thread that isn't started": threading.Thread,
    "timer": lambda: threading.Timer(60, print),
    "process that runs": process,
    "process of multiprocessing": child,
    "callback of a loop": call_soon,
    "results of a pool": imap,
    "map of an executor": lambda: ThreadPoolExecutor(1).map(abs, [1]),
    "accumulate": lambda: itertools.accumulate([1]),
    "list of threads": lambda: [thread()],
    "list of coroutines": lambda: [later(), later()],
    "tuple with a coroutine behind what is done": lambda: (1, later()),
    "dict of futures": lambda: {"mail": future()},
    "set of futures": lambda: {future()},
    "list of pairs": lambda: [("mail", later())],
    "dict of lists": lambda: {"mail": [later()]},
    "named tuple": lambda: Answer(200, later()),
    "dataclass": lambda: Sent("mail", later()),
    "dataclass in a list in a dict": lambda: {"mail": [Sent("mail", [later()])]},
    "deque": lambda: collections.deque([later()]),
    "defaultdict": lambda: collections.defaultdict(None, mail=later()),
    "OrderedDict": lambda: collections.OrderedDict(mail=later()),
    "ChainMap": lambda: collections.ChainMap({}, {"mail": later()}),
    "container of its own class": lambda: Own([later()]),
    "values of a dict": lambda: [{"mail": later()}.values()],
    "items of a dict": lambda: [{"mail": later()}.items()],
    "key of a dict": lambda: {future(): "mail"},
    "the 101st element": lambda: [*range(100), later()],
    "the last that is looked at": lambda: [*range(_LOOKED_AT - 1), later()],
    "chain of maps": lambda: itertools.chain(map(abs, [1])),
    "chain from an iterable of maps": lambda: itertools.chain.from_iterable([map(abs, [1])]),
    "iterator of a list": lambda: iter([later()]),
    "iterator of a list, backwards": lambda: reversed([1, later()]),
    "iterator of a deque": lambda: iter(collections.deque([later()])),
    "iterator of a dict's values": lambda: iter({"mail": later()}.values()),
    "zip": lambda: zip(["mail"], map(abs, [1]), strict=True),
    "enumerate": lambda: enumerate(map(abs, [1])),
    "islice": lambda: itertools.islice(map(abs, [1]), 1),
    "tee": lambda: itertools.tee(map(abs, [1])),
    "repeat": lambda: itertools.repeat(later()),
    "calls of a function": lambda: iter(lambda: None, None),
    "asynchronous iterator": AsyncOnly,
    "asynchronous iterator in a list": lambda: [AsyncOnly()],
    "list that has itself": endless,
}

NOT_CALLED: Final[dict[str, object]] = {
    "function": later,
    "lambda": lambda: None,
    "partial": functools.partial(print, 1),
    "bound method": Async().handle,
    "method of a file": io.StringIO().flush,
    "builtin": print,
    "method of a class": Async.handle,
}


class Kind(Enum):
    MAIL = 1


LOOP: Final[list[object]] = []
LOOP.append(LOOP)

DONE: Final[dict[str, object]] = {
    "what subprocess.run returns": subprocess.CompletedProcess(["true"], 0),
    "false": False,
    "class": dict,
    "object that can be called": Mock(spec=["__call__"]),
    "error": ValueError("of its own"),
    "table of functions": {"print": print},
    "none": None,
    "text": "x",
    "number": 1,
    "list": [1],
    "empty list": [],
    "list of lists": [[1], {"a": None}],
    "mock": Mock(),
    "magic mock": MagicMock(),
    "object": object(),
    "iterator of a list": iter([1]),
    "list that has only itself": collections.deque([LOOP]),
    "container that can't be read": Failing(),
    "matches of an expression": re.finditer("a", "a"),
    "dataclass with what is done": Sent("mail", {"at": [1, None]}),
    "enumeration": Kind,
    "many": [[number] for number in range(20_000)],
    "file": io.StringIO("x"),
}


@pytest.mark.parametrize("function", SHOWN.values(), ids=SHOWN)
def test_function_that_shows_to_be_later_is_refused(function: Callable[..., object]) -> None:
    with pytest.raises(NotSynchronous, match="handler: is .*before its work is done") as caught:
        check_synchronous(function, "handler", error=InvalidSubscription)
    assert caught.value.field == "handler"


@pytest.mark.parametrize(
    "function", [Mock(), MagicMock(), create_autospec(name_of), create_autospec(Plain)().handle]
)
def test_mock_of_a_plain_function_passes(function: Callable[..., object]) -> None:
    check_synchronous(function, "handler", error=InvalidSubscription)


@pytest.mark.parametrize("result", RETURNED.values(), ids=RETURNED)
def test_result_that_is_still_to_be_done_is_refused_and_closed(result: Callable[[], object]) -> None:
    with pytest.raises(NotSynchronous, match=r"handler: .*returned an? .* for event 1: .*work is done"):
        check_finished(result(), "handler", function=print, at="event 1")


@pytest.mark.parametrize("result", NOT_CALLED.values(), ids=NOT_CALLED)
def test_function_that_is_returned_in_place_of_being_called_is_refused(result: object) -> None:
    with pytest.raises(
        NotSynchronous, match=r"handler: builtins\.print returned the function .*, which nobody"
    ):
        check_finished(result, "handler", function=print)
    check_finished(result, "fold", function=print, may_be_function=True)


@pytest.mark.parametrize("ended", [ended_thread, exited])
def test_thread_or_process_that_has_ended_passes(ended: Callable[[], object]) -> None:
    check_finished(ended(), "handler", function=print)


def test_process_of_asyncio_passes_when_it_has_exited_and_not_before() -> None:
    async def run() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=subprocess.PIPE)
        with pytest.raises(NotSynchronous, match="returned a Process"):
            check_finished(process, "handler", function=print)
        await process.communicate(b"\n")
        check_finished(process, "handler", function=print)

    asyncio.run(run())


@pytest.mark.parametrize("result", DONE.values(), ids=DONE)
def test_result_of_work_that_is_done_passes(result: object) -> None:
    check_finished(result, "handler", function=print)


def test_decorator_that_waits_makes_an_async_function_a_plain_one() -> None:
    @functools.wraps(later)
    def waits(*arguments: object) -> None:
        asyncio.run(later(*arguments))

    check_synchronous(waits, "handler", error=InvalidSubscription)
    check_finished(waits(), "handler", function=waits)


@pytest.mark.parametrize("function", [None, 1, "handle", object()])
def test_what_can_not_be_called_is_refused(function: object) -> None:
    with pytest.raises(InvalidSubscription, match="can't be called"):
        check_synchronous(function, "handler", error=InvalidSubscription)


def test_error_names_the_function_where_it_stands() -> None:
    assert name_of(functools.partial(Async().handle, 1)).endswith("test_synchronous.Async.handle")
    assert name_of(Async()).endswith("test_synchronous.Async.__call__")
    assert name_of(object()) == "an object of builtins.object"
    assert name_of(print) == "builtins.print"


class Deferred:
    """As Twisted has it."""

    def addCallbacks(self, callback: object) -> None: ...  # noqa: N802


@pytest.mark.parametrize(
    "result",
    [Deferred(), zip([1], [2], strict=True), enumerate([1]), itertools.chain([1]), itertools.islice([1], 1)],
    ids=lambda result: type(result).__name__,
)
def test_deferred_and_iterators_over_what_may_be_unread_are_refused(result: object) -> None:
    with pytest.raises(NotSynchronous, match=f"returned an? {type(result).__name__}"):
        check_finished(result, "handler", function=print)


class Receipt:
    """As Celery returns one for a task that it keeps."""

    def get(self) -> None: ...

    def ready(self) -> bool:
        return False

    def then(self, callback: object) -> None: ...


@pytest.mark.parametrize("result", [Receipt(), iter([1]), iter({})], ids=lambda of: type(of).__name__)
def test_receipts_of_queues_and_iterators_over_values_pass(result: object) -> None:
    check_finished(result, "handler", function=print)
