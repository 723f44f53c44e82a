"""The proof in its long form: one seed after the other, for as long as asked, or until the first breach."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.dynamodb_local import dynamodb_local
from tests.proof.run import Plan, Report, headline, run, summary


def main() -> int:
    """Run with seed, seed + 1 ... and tell after each; in the end tell all faults and checks together."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="begin no other run after so long")
    parser.add_argument("--seed", type=int, default=time.time_ns() // 1_000_000_000, help="of the first run")
    parser.add_argument("--writers", type=int, default=Plan.writers)
    parser.add_argument("--appends", type=int, default=Plan.appends, help="of each writer")
    given = parser.parse_args()
    plan = Plan(writers=given.writers, appends=given.appends)
    total = Report(given.seed)
    runs, ends = Counter[str](), time.monotonic() + given.seconds
    with contextlib.ExitStack() as stack:
        endpoint = os.environ.get("DYNAMODB_ENDPOINT")
        if endpoint is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            endpoint = stack.enter_context(dynamodb_local(folder / "dynamodb.log", for_long=True))
        while not runs or time.monotonic() < ends:
            seed = given.seed + runs["all"]
            try:
                report = run(endpoint, seed, plan)
            except BaseException:
                _tell(f"seed {seed}: the run itself ended by an error; the run with that seed repeats it")
                raise
            runs["all"] += 1
            total.faults += report.faults
            total.checked += report.checked
            total.breaches += [f"seed {seed}: {breach}" for breach in report.breaches]
            _tell(headline(report))
            if report.breaches:
                break
    _tell(summary(total))
    what = "breaches: the run with that seed repeats them" if total.breaches else "nothing lost"
    _tell(f"{runs['all']} runs from seed {given.seed} on, {total.faults.total():,} faults: {what}")
    return 1 if total.breaches else 0


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # Workers tell of each lease that they lose, and there are many. Not in main, which a test calls.
    logging.getLogger("eventstore.subscriptions").setLevel(logging.ERROR)
    sys.exit(main())
