"""How a command ends; docs/operations.md has the same list."""

from typing import Final

ALL_WELL: Final = 0
SOMETHING_LEFT: Final = 1
"""Findings, refused events, streams that failed or were left out."""
TROUBLE: Final = 2
"""It could not be done: options, files, permissions, an unreachable service."""
INTERRUPTED: Final = 130
NOBODY_READS: Final = 141
"""Nobody reads its output any more, as behind `| head`: what the shell gives a process that SIGPIPE ended."""
