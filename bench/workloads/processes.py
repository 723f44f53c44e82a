"""What is measured in processes of their own: the start of a function, the memory of a read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.rounds import Work, summary, take_turns
from bench.sizes import Scale

_ROOT: Final = Path(__file__).parents[2]
_ENVIRON: Final = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "POWERTOOLS_SERVICE_NAME": "bench",
    "POWERTOOLS_METRICS_NAMESPACE": "EventStore",
    "EVENTS_TABLE": "events",
    "JOURNAL_TABLE": "journal",
    "LOG_TABLE": "log",
    "LOG_TRANCHES": "4",
    "REPLAYS_TABLE": "replays",
    "WRITE_SHARDS": "4",
    "EVENT_BUS": "events",
    "EVENT_SOURCE": "shop",
    "FAILED_EVENTS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/failed",
    "API_URL": "https://api.example.com",
    "REPLAY_MACHINE": "arn:aws:states:eu-central-1:123456789012:stateMachine:replay",
}
_CLIENTS: Final = {
    "append": ("dynamodb",),
    "read": ("dynamodb",),
    "log": ("dynamodb",),
    "publish": ("dynamodb", "events", "sqs"),
    "replay": ("dynamodb",),
    "replays": ("dynamodb", "stepfunctions"),
}
"""The AWS clients that each function can't do without."""


def cold_imports(scale: Scale) -> dict[str, Any]:
    """Measure the CPU of starting each function's module in a fresh Python; ratios to importing boto3.

    The base of a function is: import boto3 and make the function's clients. Python's own start, which both
    have in common, is left out.
    """
    works: dict[str, Work] = {"python": _started("")}
    for function in scale.cold_functions:
        clients = _CLIENTS[function]
        works[_base(clients)] = _started(_boto3_alone(clients))
        works[function] = _started(f"import {function}")
    measured = take_turns(works, rounds=scale.cold_rounds)
    net = {
        name: [value - empty for value, empty in zip(values, measured["python"], strict=True)]
        for name, values in measured.items()
    }
    told = {}
    for function in scale.cold_functions:
        base = _base(_CLIENTS[function])
        both = {name: net[name] for name in (base, function)}
        told[function] = summary(both, base=base, per=dict.fromkeys(both, 1.0))
    return told


def memory(scale: Scale) -> dict[str, Any]:
    """Measure the peak memory of reading all events, few and many; each in a process of its own."""
    told: dict[str, Any] = {}
    for events in scale.memory_events:
        process = subprocess.run(
            [sys.executable, "-m", "bench.memory", str(events)],
            cwd=_ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        told[str(events)] = json.loads(process.stdout)
    few, many = (told[str(events)]["peak_bytes"] for events in scale.memory_events)
    return {**told, "ratio": round(many / few, 3)}


def _base(clients: tuple[str, ...]) -> str:
    return f"boto3 and {len(clients)} client{'s' * (len(clients) > 1)}"


def _boto3_alone(clients: tuple[str, ...]) -> str:
    return "import boto3\n" + "\n".join(f"boto3.client({client!r})" for client in clients)


def _started(code: str) -> Callable[[], float]:
    """Make work that runs code in a fresh Python and tells the CPU that it took."""
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        **_ENVIRON,
        # Before its own: the boto3 of this process.
        "PYTHONPATH": ":".join((os.environ.get("PYTHONPATH", ""), str(_ROOT), str(_ROOT / "lambdas"))),
    }

    def start() -> float:
        process = subprocess.Popen([sys.executable, "-c", code], cwd=_ROOT, env=environ)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"{code!r} has failed"
        return usage.ru_utime + usage.ru_stime

    return start
