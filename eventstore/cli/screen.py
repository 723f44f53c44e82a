"""What the commands write to people: on standard error, for standard output belongs to findings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Screen:
    """Lines and progress bars on standard error; bars on a terminal only."""

    def __init__(self) -> None:
        file: Any = _AsLongAsItTakes(sys.stderr)
        self._console: Final = Console(file=file, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Write lines as they are."""
        self._console.print(text, markup=False)

    def fail(self, text: str) -> None:
        """Write what is wrong."""
        self._console.print(text, markup=False, style="red" if self._console.is_terminal else None)

    @contextmanager
    def bar(self, what: str, *, unit: str, total: int | None = None) -> Iterator[Bar]:
        """Show how something gets on."""
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        with progress:
            yield Bar(progress, progress.add_task(what, total=total))


class Bar:
    """One progress bar."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._done = 0

    def begin(self, what: str) -> None:
        """Return what is going on now."""
        self._progress.update(self._task, description=what)

    def of(self, total: int) -> None:
        """Return how much there is."""
        self._progress.update(self._task, total=total)

    def add(self, count: int) -> None:
        """Show that so much more is done."""
        self._done += count
        self._progress.update(self._task, completed=self._done)

    def at(self, done: int) -> None:
        """Return how much is done."""
        self._done = done
        self._progress.update(self._task, completed=done)


class _AsLongAsItTakes:
    """Standard error until it's gone: a terminal or pipe that was closed must not end a cleaning up."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file

    def write(self, text: str) -> int:
        if self._file is not None:
            try:
                self._file.write(text)
            except (OSError, ValueError):  # gone, or closed
                self._file = None
        return len(text)

    def flush(self) -> None:
        if self._file is not None:
            try:
                self._file.flush()
            except (OSError, ValueError):
                self._file = None

    def isatty(self) -> bool:
        return self._file is not None and self._file.isatty()

    def fileno(self) -> int:
        if self._file is None:
            raise OSError("standard error is gone")
        return self._file.fileno()

    @property
    def encoding(self) -> str:
        return getattr(self._file, "encoding", None) or "utf-8"
