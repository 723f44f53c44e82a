"""What `make run` and `make load` write: a line when something is done, and meanwhile what is going on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.markup import escape

CONSOLE: Final = Console(highlight=False, soft_wrap=True)
_ERRORS: Final = Console(highlight=False, soft_wrap=True, stderr=True)


def say(text: str = "", *, style: str | None = None) -> None:
    """Write lines as they are."""
    CONSOLE.print(text, style=style, markup=False)


def say_error(text: str) -> None:
    """Write an error."""
    _ERRORS.print(text, style="red" if sys.stderr.isatty() else None, markup=False)


@contextmanager
def phase(doing: str, done: str) -> Iterator[Callable[[str], None]]:
    """Show that something is going on, then that it is done and how long it took.

    Gives a function that takes a line about what is going on just now. On a terminal the last such line
    stands beside a spinner; elsewhere only the beginning and the end are written.
    """
    began_s = time.monotonic()
    if CONSOLE.is_terminal:
        with CONSOLE.status(escape(doing)) as status:
            yield lambda line: status.update(f"{escape(doing)} [dim]{escape(line)}[/dim]")
    else:
        say(f"{doing} ...")
        yield _write_packaging
    CONSOLE.print(f"[green]{_done_mark()}[/green] {escape(done)} ({time.monotonic() - began_s:.1f} s)")


def _done_mark() -> str:
    try:
        "✓".encode(CONSOLE.encoding)
    except UnicodeEncodeError:
        return "ok"
    return "✓"


def _write_packaging(line: str) -> None:
    if line.startswith("Packaging"):
        say(f"  {line}")
