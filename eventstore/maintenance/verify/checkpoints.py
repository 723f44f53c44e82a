"""Where a verification stands, in a folder: an interrupted one goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final

from eventstore.errors import BadCheckpoints, OtherVerification
from eventstore.maintenance.verify.findings import Finding
from eventstore.maintenance.verify.segments import SegmentState

try:
    import fcntl
except ImportError:  # not on Windows, where nothing keeps two runs from one folder
    fcntl = None  # type: ignore[assignment]

_RUN: Final = "run.json"
_LOCK: Final = "lock"


class Checkpoints:
    """The checkpoint file and the findings of each segment.

    A checkpoint is replaced as a whole, after the findings that it counts were written; findings behind it
    come from a page that was not finished, and are cut off when it's read. The folder is locked while it's
    in use, and only files that a verification has made are ever removed from it.

    Args:
        folder: is made when it isn't there.
        settings: what has to be the same for a run to go on; `settled_until_us` is kept from the first.

    Raises:
        OtherVerification: the folder has the checkpoints of one with other settings.
        BadCheckpoints: its files can't be read, or another verification is using them.
    """

    def __init__(self, folder: Path, *, settings: dict[str, Any], settled_until_us: int) -> None:
        self._folder = folder
        self._segments: int = settings["segments"]
        self._files: dict[str, IO[bytes]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder / _LOCK)
        try:
            self.settled_until_us = self._begin(settings, settled_until_us)
        except BaseException:
            self.close()
            raise

    def _begin(self, settings: dict[str, Any], settled_until_us: int) -> int:
        run = self._folder / _RUN
        if not run.exists():
            self._replace(run, {**settings, "settled_until_us": settled_until_us})
            return settled_until_us
        with _read(run) as known:
            for name, given in settings.items():
                if known[name] != given:
                    raise OtherVerification(folder=self._folder, name=name, there=known[name], given=given)
            return int(known["settled_until_us"])

    def load(self, segment: int, *, max_parts: int) -> SegmentState:
        """Read where a segment stands; at its beginning when nothing is known.

        Raises:
            BadCheckpoints: its file can't be read.
        """
        path = self._path(segment)
        state = SegmentState.new(max_parts=max_parts)
        if path.exists():
            with _read(path) as values:
                state = SegmentState.from_json(values, max_parts=max_parts)
        file = self._findings(segment)
        if file.seek(0, 2) < state.findings_bytes:
            raise _bad(self._folder / _findings_name(segment), "its end is missing")
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
        for segment in range(self._segments):
            self._path(segment).unlink(missing_ok=True)
            (self._folder / _findings_name(segment)).unlink(missing_ok=True)
        (self._folder / _RUN).unlink()
        (self._folder / _LOCK).unlink()
        self.close()

    def close(self) -> None:
        """Close the files, and let others use the folder."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._lock.close()

    def _path(self, segment: int) -> Path:
        return self._folder / f"segment-{segment:04}.json"

    def _findings(self, segment: int) -> IO[bytes]:
        name = _findings_name(segment)
        if name not in self._files:
            path = self._folder / name
            path.touch()
            self._files[name] = path.open("r+b")
        return self._files[name]

    def _replace(self, path: Path, values: dict[str, Any]) -> None:
        temporary = path.with_suffix(".tmp")
        text = json.dumps(values)
        temporary.write_text(f"{_digest(text)}\n{text}")
        temporary.replace(path)


def _findings_name(segment: int) -> str:
    return f"segment-{segment:04}.ndjson"


def _locked(path: Path) -> IO[bytes]:
    """Keep others out as long as the file is open; the system lets go of it whatever ends the process."""
    file = path.open("ab")
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            reason = "another verification is using this folder; wait for its end, or give another folder"
            raise BadCheckpoints(path=path.parent, reason=reason) from error
    return file


@contextmanager
def _read(path: Path) -> Iterator[Any]:
    """Read a file of plain values; what its reader can't find in there is the file's fault."""
    digest, _, text = path.read_bytes().decode(errors="replace").partition("\n")
    if digest != _digest(text):
        raise _bad(path, "it is damaged, or no file of a verification")
    try:
        yield json.loads(text)
    except (ValueError, LookupError, TypeError) as error:
        raise _bad(path, f"it is of another version: {error!r}") from error


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _bad(path: Path, reason: str) -> BadCheckpoints:
    return BadCheckpoints(
        path=path, reason=f"{reason}. Give another folder, or delete this one to begin anew"
    )
