"""The commands of `python -m localcloud`, with their errors as a user reads them."""

from __future__ import annotations

import time
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path

from localcloud.api import ApiError
from localcloud.cloud import Cloud, local_cloud
from localcloud.deploy import Deployment, deploy
from localcloud.events_file import BadFile
from localcloud.load import load_file
from localcloud.processes import LocalCloudError, log_tail
from localcloud.screen import phase, say, say_error
from localcloud.show import RACED, ShowFailed, show
from localcloud.state import only_one, published_state, running_state


def command(options: Namespace) -> int:
    """Run the command that was given; write its errors, and return the exit code."""
    try:
        if options.command == "run":
            return run(folder=options.folder, port=options.port, once=options.once)
        url = options.url or running_state(options.folder).api_url
        loaded = load_file(options.file, url=url, parallel=options.parallel)
        return 1 if loaded.failed else 0
    except BrokenPipeError:
        raise
    except (ApiError, BadFile, LocalCloudError, OSError, ShowFailed) as error:
        say_error(str(error))
        return 1


def run(*, folder: Path, port: int | None, once: bool) -> int:
    """Start a local cloud, deploy to it, show the main job, and stay up until interrupted."""
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
