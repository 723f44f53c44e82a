"""Functions that users give have to be done when they return: "not yet" is refused, never taken for done.

What they return otherwise is nobody's affair: `return repository.save(x)` is fine.

What shows before a call is refused then: async functions, generator functions, objects whose ``__call__`` is
one, bound methods and `functools.partial` of them. A decorator may well turn an async function into a plain
one (`asyncio.run` inside), so what a function wraps isn't looked at; what it returns is.
"""

from __future__ import annotations

import functools
import gc
import inspect
import itertools
import sys
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager, contextmanager
from dataclasses import fields, is_dataclass
from types import FunctionType, MethodType
from typing import Any, Final

from eventstore.errors import InvalidInput, NotSynchronous

REPAIR: Final = (
    "it returns before its work is done, and would count as done all the same. Give a plain function that "
    "returns when all is done; inside of it wait by asyncio.run, or by result(), join() or wait()"
)


def check_synchronous(function: object, field: str, *, error: type[InvalidInput]) -> None:
    """Check that a function can be called, and that nothing shows it to return before its work is done.

    Args:
        field: which argument it is.
        error: what to raise where it can't be called at all.

    Raises:
        NotSynchronous: it's async or a generator.
    """
    if not callable(function):
        raise error(field, f"is {function!r:.80}, which can't be called; give a function")
    later = shows_to_be_later(function)
    if later:
        raise NotSynchronous(field, f"is {name_of(function)}, {later}: {REPAIR}")


def shows_to_be_later(function: object, *, may_yield: bool = False) -> str | None:
    """Return as what a function shows to return before its work is done; None when nothing shows it.

    Args:
        may_yield: a generator function will do, since an iterator is asked for.
    """
    for part in _parts(function):
        if not isinstance(getattr(getattr(part, "__code__", None), "co_flags", 0), int):
            continue  # a mock of a function, whose flags are a mock, too: all of them would be set
        for kind, is_one in _KINDS[: -1 if may_yield else None]:
            if is_one(part):
                return kind
    return None


def check_finished(
    result: object, field: str, *, function: object, at: str = "", may_be_function: bool = False
) -> None:
    """Check that what a function returned isn't work that's still to be done; if it is, close it.

    Any other value passes. So do a thread that has ended, a process that has exited, and what a queue that
    keeps its tasks returns for one.

    Args:
        at: with what it was called, such as an event, for the error.
        may_be_function: a function is a value like others here, and not one that somebody forgot to call.

    Raises:
        NotSynchronous: it's a coroutine, a generator, a future, a thread or process that runs or the like, or
            itself a function; or it has one of the former inside, as far as `_unfinished` looks.
    """
    if type(result) in _PLAIN:
        return
    if not may_be_function and (inspect.isroutine(result) or isinstance(result, _PARTIAL)):
        told = f"returned the function {name_of(result)}{f' for {at}' if at else ''}, which nobody calls"
        raise NotSynchronous(field, f"{name_of(function)} {told}: {REPAIR}")
    unfinished = _unfinished(result)
    if not unfinished:
        return
    for part in unfinished:
        if isinstance(part, (Coroutine, Generator)):
            part.close()  # else it's told to have never been awaited
    what = _article(type(unfinished[0]).__name__)
    held = what if unfinished[0] is result else f"{_article(type(result).__name__)} with {what}"
    told = f"returned {held}{f' for {at}' if at else ''}"
    raise NotSynchronous(field, f"{name_of(function)} {told}: {REPAIR}")


def name_of(function: object) -> str:
    """Return where a function stands, as its author finds it."""
    inner = _parts(function)[-1]
    if inspect.isroutine(inner):
        return f"{getattr(inner, '__module__', None) or 'builtins'}.{inner.__qualname__}"
    return f"an object of {type(inner).__module__}.{type(inner).__qualname__}"


_PLAIN: Final = frozenset({bool, bytes, float, int, str, type(None)})
_LOOKED_AT: Final = 10_000
"""Values inside of what is returned, at all depths (ours): up to some 3 µs each."""
_NO_CONTAINERS: Final = (bytearray, bytes, memoryview, range, str, type)
_SEEN_THROUGH: Final = frozenset({"builtins", "itertools", "_collections", "collections"})
"""Modules whose iterators hold what they iterate over; reading it there takes nothing from them."""
_KINDS: Final[tuple[tuple[str, Callable[[Any], bool]], ...]] = (
    ("an async function", inspect.iscoroutinefunction),
    ("an async generator function", inspect.isasyncgenfunction),
    ("a generator function", inspect.isgeneratorfunction),
)


def _nothing() -> Iterator[None]:
    yield


async def _nothing_async() -> AsyncIterator[None]:
    yield


def _never(_result: Any) -> bool:
    return False


def _has_exited(process: Any) -> bool:
    try:
        return process.exitcode is not None
    except ValueError:  # closed: that takes a process that has exited
        return True


_RUNNING: Final[tuple[tuple[str, str, Callable[[Any], bool]], ...]] = (
    # One that wasn't started never ends.
    ("threading", "Thread", lambda thread: thread.ident is not None and not thread.is_alive()),
    ("subprocess", "Popen", lambda process: process.poll() is not None),
    ("asyncio.subprocess", "Process", lambda process: process.returncode is not None),
    ("multiprocessing.process", "BaseProcess", _has_exited),
    ("multiprocessing.pool", "AsyncResult", _never),
    ("multiprocessing.pool", "IMapIterator", _never),
    ("asyncio.events", "Handle", lambda handle: handle.cancelled()),
)
"""What runs beside the function that has returned it, by module and class, and whether it has ended."""
_PARTIAL: Final = (functools.partial, functools.partialmethod)
_LAZY: Final[tuple[type, ...]] = (
    *(filter, map, itertools.accumulate, itertools.dropwhile, itertools.filterfalse, itertools.groupby),
    *(itertools.starmap, itertools.takewhile),
    # These run that of the iterators that they were given.
    *(enumerate, zip, itertools.chain, itertools.compress, itertools.islice, itertools.zip_longest),
    # What functions return that these decorate: none of their code has run then.
    *(type(contextmanager(_nothing)()), type(asynccontextmanager(_nothing_async)())),
)
"""They run code only when somebody reads or enters them. Other iterators, such as a database's cursor, may be
what is left of work that's done."""
_CALLS: Final = type(iter(int, 0))
"""Regular expressions iterate by it, too, over a method that isn't Python's."""
_OF_PYTHON: Final = (functools.partial, FunctionType, MethodType)


def _parts(function: object) -> list[Any]:
    """Return a function and what it is made of by `partial`, bound methods and ``__call__``."""
    parts = [function]
    while True:
        part: Any = parts[-1]
        if isinstance(part, functools.partial):
            parts.append(part.func)
        elif isinstance(part, MethodType):
            parts.append(part.__func__)
        elif inspect.isfunction(called := getattr(type(part), "__call__", None)):  # noqa: B004 - its code
            parts.append(called)
        else:
            return parts


def _unfinished(result: object) -> list[object]:
    """Return what is unfinished of what is returned, looking at it and `_LOOKED_AT` values inside of it.

    Inside is what a container has (a dict's keys, too), the fields of a dataclass, and what an iterator of
    Python's own iterates over.
    """
    found, waiting, left = [], deque([result]), _LOOKED_AT
    seen = {id(result): result}  # kept, so that no other object gets its id
    while waiting:
        part = waiting.popleft()
        if _is_unfinished(part):
            found.append(part)
            continue
        for inner in itertools.islice(_parts_of(part), left):
            left -= 1
            if type(inner) not in _PLAIN and id(inner) not in seen:
                seen[id(inner)] = inner
                waiting.append(inner)
    return found


def _parts_of(whole: Any) -> Iterator[object]:
    try:
        if isinstance(whole, _NO_CONTAINERS):
            return
        if isinstance(whole, Mapping):
            yield from itertools.chain.from_iterable(whole.items())
        elif isinstance(whole, Collection):
            yield from whole
        elif type(whole).__module__ in _SEEN_THROUGH and (
            isinstance(whole, Iterator) or type(whole).__module__ == "itertools"
        ):  # of the latter, also what copies of an iterator share
            yield from gc.get_referents(whole)
        if is_dataclass(whole):
            yield from [getattr(whole, field.name, None) for field in fields(whole)]
    except Exception:  # noqa: BLE001 - of a container's own code, which the work isn't to fail by
        return


def _is_unfinished(result: object) -> bool:
    if isinstance(result, type):
        return False
    if isinstance(result, (Awaitable, Generator, AsyncGenerator, *_LAZY)):
        return True
    # Of the class, since a mock has every attribute. Futures have one of these, Twisted's the latter.
    kind = type(result)
    if hasattr(kind, "add_done_callback") or hasattr(kind, "addCallbacks"):
        return True
    if hasattr(kind, "__anext__") and not hasattr(kind, "__iter__"):
        return True
    if kind is _CALLS and any(isinstance(part, _OF_PYTHON) for part in gc.get_referents(result)):
        return True  # of a function of the user's, as iter(function, sentinel) has it
    # Whoever has made one has imported its module; nobody else pays for that.
    return any(
        isinstance(result, getattr(sys.modules.get(module), name, ())) and not has_ended(result)
        for module, name, has_ended in _RUNNING
    )


def _article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"
