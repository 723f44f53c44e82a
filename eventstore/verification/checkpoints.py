"""Where a verification stands, in a folder: an interrupted one goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Final

from eventstore.errors import OtherVerification
from eventstore.verification.findings import Finding
from eventstore.verification.segments import SegmentState

_RUN: Final = "run.json"


class Checkpoints:
    """The checkpoint file and the findings of each segment.

    A checkpoint is replaced as a whole, after the findings that it counts were written; findings behind it
    come from a page that was not finished, and are cut off when it's read.

    Args:
        folder: is made when it isn't there.
        settings: what has to be the same for a run to go on; `settled_until_us` is kept from the first.
    """

    def __init__(self, folder: Path, *, settings: dict[str, Any], settled_until_us: int) -> None:
        self._folder = folder
        self._files: dict[str, IO[bytes]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        run = folder / _RUN
        if run.exists():
            known = json.loads(run.read_text())
            for name, given in settings.items():
                if known[name] != given:
                    raise OtherVerification(folder=folder, name=name, there=known[name], given=given)
            self.settled_until_us: int = known["settled_until_us"]
        else:
            self.settled_until_us = settled_until_us
            self._replace(run, {**settings, "settled_until_us": settled_until_us})

    def load(self, segment: int, *, max_parts: int) -> SegmentState:
        """Read where a segment stands; at its beginning when nothing is known."""
        path = self._path(segment)
        state = SegmentState.new(max_parts=max_parts)
        if path.exists():
            state = SegmentState.from_json(json.loads(path.read_text()), max_parts=max_parts)
        file = self._findings(segment)
        file.truncate(state.findings_bytes)
        file.seek(0, 2)
        return state

    def save(self, segment: int, state: SegmentState, findings: Iterable[Finding]) -> None:
        """Keep where a segment stands and what was found since."""
        file = self._findings(segment)
        state.findings_bytes += file.write("".join(finding.line() for finding in findings).encode())
        file.flush()
        self._replace(self._path(segment), state.to_json())

    def write_findings(self, segments: int, output: IO[str]) -> None:
        """Copy the findings of all segments to the output, by segment."""
        for segment in range(segments):
            file = self._findings(segment)
            file.seek(0)
            for line in file:
                output.write(line.decode())

    def remove(self) -> None:
        """Remove the files: the verification is complete."""
        self.close()
        for path in self._folder.glob("segment-*"):
            path.unlink()
        (self._folder / _RUN).unlink()

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _path(self, segment: int) -> Path:
        return self._folder / f"segment-{segment:04}.json"

    def _findings(self, segment: int) -> IO[bytes]:
        name = f"segment-{segment:04}.ndjson"
        if name not in self._files:
            path = self._folder / name
            path.touch()
            self._files[name] = path.open("r+b")
        return self._files[name]

    def _replace(self, path: Path, values: dict[str, Any]) -> None:
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(values))
        temporary.replace(path)
