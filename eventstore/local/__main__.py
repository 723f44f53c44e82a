"""`python -m eventstore.local run | load FILE`: what `make run` and `make load` run."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Final

from eventstore.local.api import ApiError
from eventstore.local.cloud import Cloud, local_cloud
from eventstore.local.deploy import Deployment, deploy
from eventstore.local.events_file import BadFile
from eventstore.local.load import load_file
from eventstore.local.processes import FOLDER, LocalCloudError, log_tail
from eventstore.local.screen import phase, say, say_error
from eventstore.local.show import RACED, ShowFailed, show
from eventstore.local.state import only_one, published_state, running_state

_INTERRUPTED: Final = 130


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit code."""
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, _interrupt)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # not under nohup
        signal.signal(signal.SIGHUP, _interrupt)
    options = _parser().parse_args(arguments)
    try:
        if options.command == "run":
            return _run(folder=options.folder, port=options.port, once=options.once)
        url = options.url or running_state(options.folder).api_url
        loaded = load_file(options.file, url=url, parallel=options.parallel)
        return 1 if loaded.failed else 0
    except KeyboardInterrupt:
        say_error("\nInterrupted.")
        return _INTERRUPTED
    except (ApiError, BadFile, LocalCloudError, ShowFailed) as error:
        say_error(str(error))
        return 1


def _run(*, folder: Path, port: int | None, once: bool) -> int:
    with only_one(folder), ExitStack() as stack:
        with phase("Starting the local cloud", "The local cloud is up"):
            cloud = stack.enter_context(local_cloud(folder=folder, port=port))
        deploying = "Deploying the app with the CDK: bootstrap, synth, deploy"
        with phase(deploying, "The app is bootstrapped, synthesized and deployed") as report:
            deployment = deploy(cloud, report=report)
        with published_state(cloud, deployment):
            show(cloud, deployment)
            if not once:
                _stay_up(cloud, deployment)
    say("\nThe local cloud has ended; nothing is left running.")
    return 0


def _stay_up(cloud: Cloud, deployment: Deployment) -> None:
    json_header = "-H 'content-type: application/json'"
    body = (
        """'{"expectedVersion": 0, "events": [{"eventName": "OrderPlaced", "payload": {"total": 12.50}}]}'"""
    )
    say(
        f"\nUp until Ctrl-C. The API: {deployment.api_url}\nTry it in another terminal:\n\n"
        f"   API='{deployment.api_url}'\n"
        f'   curl -i "$API/streams/order-2001/events" {json_header} -d {body}\n'
        f'   curl "$API/streams/{RACED}/events"\n'
        '   curl "$API/events?limit=5"\n'
        "   make load FILE=events.ndjson\n\n"
        f"Every AWS service answers at {cloud.endpoint}; its log is {cloud.log}."
    )
    try:
        while cloud.is_up():
            time.sleep(0.5)
    except KeyboardInterrupt:
        return
    raise LocalCloudError(f"The local cloud has died.\n{log_tail(cloud.log)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eventstore.local", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="logs and state (default: .local)")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start a local cloud, deploy to it, show the main job, stay up")
    run.add_argument("--port", type=int, default=os.environ.get("PORT"), help="default: any free one")
    run.add_argument(
        "--once",
        action="store_true",
        default=os.environ.get("RUN_ONCE", "0") not in {"", "0"},
        help="end after the show (also: RUN_ONCE=1)",
    )
    load = commands.add_parser("load", help="append a file of events, one JSON object a line")
    load.add_argument(
        "file", type=Path, help="streamId, eventName, payload; may have occurredAt and eventUid"
    )
    load.add_argument("--url", help="the API (default: that of the running local cloud)")
    load.add_argument("--parallel", type=int, default=8, help="streams loaded side by side (default: 8)")
    return parser


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
