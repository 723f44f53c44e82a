"""A command from its start to its exit code: characters, interruptions, output that nobody takes."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable
from typing import Final

# How a command ends; docs/operations.md has the same list.
ALL_WELL: Final = 0
SOMETHING_LEFT: Final = 1
"""Findings, refused events, streams that failed or were left out."""
TROUBLE: Final = 2
"""It could not be done: options, files, permissions, an unreachable service."""
INTERRUPTED: Final = 130
NOBODY_READS: Final = 141
"""Nobody reads its output any more, as behind `| head`: what the shell gives a process that SIGPIPE ended."""


def run_command(command: Callable[[], int]) -> int:
    """Run a command, its imports included; return the exit code, whatever its input and outputs are.

    Args:
        command: parses the arguments, and does the rest.
    """
    _take_any_character()
    try:
        try:
            return command()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        code, why = INTERRUPTED, "Interrupted."
    except BrokenPipeError:
        code, why = NOBODY_READS, ""
    except OSError as error:
        code, why = TROUBLE, f"The output can't be written: {error.strerror or error}"
    if code != INTERRUPTED:
        # What is still in the buffer would be written at Python's end, and fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if why:
        print(why, file=sys.stderr)
    return code


def _take_any_character() -> None:
    """Let standard output take any character, whatever its encoding: findings are JSON, which has escapes."""
    codecs.register_error("eventstore.json", _json_escapes)
    reconfigure = getattr(sys.stdout, "reconfigure", None)  # a replaced standard output may have none
    if reconfigure is not None:
        reconfigure(errors="eventstore.json")


def _json_escapes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    escapes = (f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
    return "".join(escapes), error.end
