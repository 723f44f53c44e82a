"""Whether what `cdk synth` makes would be another one than the last: one text for all that goes into it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

# Everything but what can't be deployed: a package that is new here counts without being named.
_NOT_DEPLOYED: Final = {"bench", "build", "dist", "docs", "examples", "mutants", "tests"}
_SOURCES: Final = {".py", ".json", ".toml", ".txt", ".typed"}


def fingerprint(root: Path, *, context: Sequence[str]) -> str:
    """Return the fingerprint of a checkout's sources, the Python that runs here, and the CDK's arguments."""
    digest = hashlib.sha256()
    for part in (sys.version, sys.executable, *context):
        digest.update(f"{part}\0".encode())
    for path in sorted(_sources(root)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    for entry in root.iterdir():
        if entry.name.startswith((".", "cdk.out")) or entry.name in _NOT_DEPLOYED:
            continue
        found = (path for path in entry.rglob("*") if path.is_file()) if entry.is_dir() else [entry]
        yield from (path for path in found if path.suffix in _SOURCES and "__pycache__" not in path.parts)
