"""How the local cloud serves a large log: loading, publication and reads at several sizes.

Starts a local cloud of its own, deploys the app, loads events over HTTP as `make load` does, and at each size
measures reads and appends while nothing else is asked for. Prints the figures and writes them as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any, Final
from urllib.parse import quote

import httpx

from localcloud.api import Api, ApiError
from localcloud.cloud import local_cloud
from localcloud.deploy import deploy
from localcloud.events_file import BadFile
from localcloud.load import load_events
from localcloud.processes import FOLDER, LocalCloudError
from localcloud.screen import phase, say, say_error
from localcloud.state import only_one

SIZES: Final = (30_000, 120_000, 300_000)
PARALLEL: Final = 8
EVENTS_A_STREAM: Final = 6
PAGE: Final = 100

_CONSUMED: Final = re.compile(r"ESM: Lambda (\S+) processed (\d+) DynamoDB stream records")


@dataclass(slots=True)
class Asked:
    """The answers to one kind of request."""

    ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def figures(self) -> dict[str, Any]:
        """Return how long they took, and their statuses."""
        ordered = sorted(self.ms)

        def at(percent: int) -> float:
            return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)])

        return {
            "requests": len(ordered),
            "p50_ms": at(50),
            "p99_ms": at(99),
            "max_ms": round(ordered[-1]),
            "statuses": {str(status): count for status, count in self.statuses.items()},
        }


@dataclass(slots=True)
class Consumed:
    """What the consumers of the table's stream have taken, as the cloud's own log says."""

    log: Path
    by_function: Counter[str] = field(default_factory=Counter)
    read_bytes: int = 0

    def look(self) -> int:
        """Read what is new; return the records that the slowest consumer has taken."""
        with self.log.open("rb") as file:
            file.seek(self.read_bytes)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self.read_bytes += len(whole)
        for name, count in _CONSUMED.findall(whole.decode(errors="replace")):
            self.by_function[name] += int(count)
        return min(self.by_function.values(), default=0)


@dataclass(slots=True)
class Watch:
    """Samples how far the consumers are, and the longest time without any progress of theirs."""

    consumed: Consumed
    appended: int = 0
    most_behind: int = 0
    longest_pause_s: float = 0.0

    def run(self, end: Flag) -> None:
        """Sample until told to end."""
        taken, since_s = 0, time.monotonic()
        while not end.wait(0.5):
            now_s, now = time.monotonic(), sum(self.consumed.by_function.values())
            slowest = self.consumed.look()
            self.most_behind = max(self.most_behind, self.appended - slowest)
            if now != taken or slowest >= self.appended:
                taken, since_s = now, now_s
            self.longest_pause_s = max(self.longest_pause_s, now_s - since_s)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        _measure(options)
    except KeyboardInterrupt:
        say_error(f"\nInterrupted. What was measured until then: {options.out}")
        return 130
    except (ApiError, BadFile, LocalCloudError) as error:
        say_error(str(error))
        return 1
    return 0


def _measure(options: argparse.Namespace) -> None:
    figures: list[dict[str, Any]] = []
    folder: Path = options.folder
    with only_one(folder), local_cloud(folder=folder) as cloud:
        with phase("Deploying the app to a local cloud", "The app is deployed") as report:
            app = deploy(cloud, report=report)
        watch = Watch(Consumed(cloud.log))
        with _beside(watch.run):
            loaded = 0
            for size in options.sizes:
                figures.append(_stage(app.api_url, watch, behind=loaded, size=size, folder=folder))
                loaded = size
                say(json.dumps(figures[-1]))
                options.out.write_text(json.dumps(figures, indent=2) + "\n")


def _stage(url: str, watch: Watch, *, behind: int, size: int, folder: Path) -> dict[str, Any]:
    watch.most_behind, watch.longest_pause_s = 0, 0.0
    path = folder / "events.ndjson"
    with path.open("w") as file:
        file.writelines(_lines(behind, size))
    failed = 0
    began_s, before = time.monotonic(), watch.consumed.look()
    with Api(url, connections=PARALLEL) as api:
        for done in load_events(path, api=api, parallel=PARALLEL):
            watch.appended += done.appended
            failed += done.failed
    load_s = time.monotonic() - began_s
    published = watch.consumed.look() - before
    behind_at_end = watch.appended - watch.consumed.look()
    early = _reads(url, size=size, rounds=5)
    while watch.consumed.look() < watch.appended and time.monotonic() - began_s < 40 * load_s:
        time.sleep(0.5)
    all_s = time.monotonic() - began_s
    return {
        "events": size,
        "load_average": round(os.getloadavg()[0], 1),
        "failed": failed,
        "loaded_a_second": round((size - behind) / load_s),
        "published_a_second_while_loading": round(published / load_s),
        "published_a_second": round((size - behind) / all_s),
        "behind_when_loaded": behind_at_end,
        "most_behind": watch.most_behind,
        "caught_up_after_s": round(all_s - load_s, 1),
        "longest_pause_of_consumers_s": round(watch.longest_pause_s, 1),
        "consumed": dict(watch.consumed.by_function),
        "while_publishing": early,
        "at_rest": _reads(url, size=size, rounds=40),
    }


def _reads(url: str, *, size: int, rounds: int) -> dict[str, Any]:
    chance = random.Random(size)
    asked: dict[str, Asked] = {}
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:

        def ask(name: str, path: str, **parameters: Any) -> dict[str, Any]:
            began_s = time.monotonic()
            response = http.get(path, params=parameters)
            one = asked.setdefault(name, Asked())
            one.ms.append((time.monotonic() - began_s) * 1e3)
            one.statuses[response.status_code] += 1
            body: dict[str, Any] = response.json() if response.is_success else {}
            return body

        page = ask("GET /events, first page", "/events", limit=PAGE)
        first = page["events"][0]["timestamp"] if page.get("events") else None
        log = ask("GET /log, first page", "/log", limit=PAGE)
        for _ in range(rounds):
            ask("GET /events, first page", "/events", limit=PAGE)
            if page.get("next"):
                page = ask("GET /events, next page", "/events", limit=1_000, after=page["next"])
            if log.get("next"):
                log = ask("GET /log, next page", "/log", limit=1_000, after=log["next"])
            if first:
                ask("GET /events, from a late time", "/events", limit=PAGE, **{"from": _late(first)})
            stream = quote(_stream(chance.randrange(size)), safe="")
            ask("GET /streams/{id}/events", f"/streams/{stream}/events")
            began_s = time.monotonic()
            body = {"expectedVersion": "any", "events": [{"eventName": "Asked", "payload": {}}]}
            response = http.post(f"/streams/probe-{chance.random()}/events", json=body)
            one = asked.setdefault("POST /streams/{id}/events", Asked())
            one.ms.append((time.monotonic() - began_s) * 1e3)
            one.statuses[response.status_code] += 1
    return {name: answers.figures() for name, answers in asked.items()}


def _late(first: str) -> str:
    began = time.mktime(time.strptime(first[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
    late = began + (time.time() - began) * 0.8
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(late))


def _stream(number: int) -> str:
    return f"order-{number // EVENTS_A_STREAM}"


def _lines(behind: int, size: int) -> Iterator[str]:
    """Make the file's lines: whole streams, so that no stage goes on with one of the stage before."""
    for number in range(behind, size):
        payload = {"number": number, "customer": f"customer-{number % 977}", "note": "n" * 150}
        line = {"streamId": _stream(number), "eventName": f"Happened{number % 7}", "payload": payload}
        yield json.dumps(line) + "\n"


@contextmanager
def _beside(run: Callable[[Flag], None]) -> Iterator[None]:
    end = Flag()
    thread = Thread(target=run, args=(end,))
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.local_log", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="events after each stage")
    parser.add_argument("--folder", type=Path, default=FOLDER / "bench-log", help="logs and state")
    parser.add_argument("--out", type=Path, default=FOLDER / "local_log.json", help="where the figures go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
