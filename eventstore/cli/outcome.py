"""How a command ended, for a shell and for a program that reads its output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Outcome:
    """The exit code of a command, and what `--json` prints about it."""

    code: int
    members: Mapping[str, object] = field(default_factory=dict)
    """Of the JSON object; docs/operations.md describes those of each command."""


def write_json(members: Mapping[str, object]) -> None:
    """Write one JSON object as a line of standard output, in ASCII, so that any encoding takes it."""
    print(json.dumps(members, separators=(",", ":")), flush=True)
