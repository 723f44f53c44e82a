"""Files that appear under their name only when they're whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import ENOENT
from pathlib import Path
from typing import IO, Any

from eventstore.errors import FileExists


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Make a file that appears under its name at the end, if nothing else has till then.

    Until then it's written under a name of its own beside it, that nobody can know and nothing else has:
    two that make the same file don't meet, and the second one to end is refused.

    Raises:
        FileExists: something of this name is there, at the beginning or at the end; it was not touched.
        OSError: at the beginning, no file can have this name; `filename` is the path that was given.
    """
    _check_folder(path)
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    else:
        raise FileExists(path=path)
    with _part_of(path, "xb", _appear) as file:
        yield file


@contextmanager
def replaced_file(path: Path) -> Iterator[IO[str]]:
    """Write text that takes a file's place at the end; what ends before leaves the earlier file as it is.

    A pipe or a device is written to as it comes.

    Raises:
        OSError: at the beginning, no file can have this name, or this one can't be replaced.
    """
    _check_folder(path)
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8") as file:
            yield file
        return
    target = path.resolve()  # a link stays one
    with _part_of(target, "x", Path.replace) as file:
        yield file


def _check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise FileNotFoundError(ENOENT, "there is no such folder", str(path.parent))


@contextmanager
def _part_of(path: Path, mode: str, appear: Callable[[Path, Path], object]) -> Iterator[IO[Any]]:
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        file = part.open(mode, encoding=None if "b" in mode else "utf-8")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    with file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            appear(part, path)
        finally:
            part.unlink(missing_ok=True)


def _appear(part: Path, path: Path) -> None:
    # Unlike a rename, a link never replaces a file that has appeared meanwhile.
    try:
        path.hardlink_to(part)
    except FileExistsError as error:
        raise FileExists(path=path) from error
    except OSError:  # a file system without links: its name is taken first, then filled
        try:
            path.open("xb").close()
        except FileExistsError as error:
            raise FileExists(path=path) from error
        part.replace(path)
