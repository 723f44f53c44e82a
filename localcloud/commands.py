"""The commands of `python -m localcloud`, with their errors as a user reads them."""

from __future__ import annotations

import shutil
import time
from argparse import Namespace
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Final

from localcloud.api import ApiError
from localcloud.cloud import Cloud, local_cloud
from localcloud.deploy import Deployment, deploy, sources
from localcloud.events_file import BadFile
from localcloud.keeping import NAME, WAY_OUT, Kept
from localcloud.load import load_file
from localcloud.processes import LocalCloudError, free_port, log_tail
from localcloud.screen import phase, say, say_error
from localcloud.show import RACED, ShowFailed, count_events, show, show_kept
from localcloud.state import only_one, published_state, running_state

_ANOTHER_PORT: Final = "Name another one: KEEP=1 PORT=4571 make run."
_FREE_THE_PORT: Final = (
    "End what listens there: the kept store is bound to this port. Or begin anew without its events: "
    "`make clean-local`."
)


def command(options: Namespace) -> int:
    """Run the command that was given; write its errors, and return the exit code."""
    try:
        if options.command == "run":
            return run(folder=options.folder, port=options.port, once=options.once, keep=options.keep)
        if options.command == "clean":
            return clean(options.folder)
        url = options.url or running_state(options.folder).api_url
        loaded = load_file(options.file, url=url, parallel=options.parallel)
        return 1 if loaded.failed else 0
    except BrokenPipeError:
        raise
    except (ApiError, BadFile, LocalCloudError, OSError, ShowFailed) as error:
        say_error(str(error))
        return 1


def run(*, folder: Path, port: int | None, once: bool, keep: bool) -> int:
    """Start a local cloud, deploy to it, show the main job, and stay up until interrupted."""
    with only_one(folder), ExitStack() as stack:
        if keep:
            with Kept.opened(folder) as kept:
                _run_kept(kept, folder=folder, port=port, once=once)
                _must_be_saved(kept)
            say("\nThe local cloud has ended; nothing is left running.")
            say("`KEEP=1 make run` goes on with its store.")
            return 0
        cloud = _started(stack, folder=folder, port=port)
        deployment = _deployed(cloud)
        with published_state(cloud, deployment):
            show(cloud, deployment)
            if not once:
                _stay_up(cloud, deployment)
    say("\nThe local cloud has ended; nothing is left running.")
    return 0


def clean(folder: Path) -> int:
    """Remove the kept store of a folder."""
    kept = folder / NAME
    with only_one(folder):
        if not kept.exists():
            say(f"There is no kept store in {kept}.")
            return 0
        shutil.rmtree(kept)
    say(f"The kept store in {kept} is removed, with its events.")
    return 0


def _run_kept(kept: Kept, *, folder: Path, port: int | None, once: bool) -> None:
    port = free_port(kept.port(port), repair=_FREE_THE_PORT if kept.has_port else _ANOTHER_PORT)
    cut_off_at = kept.cut_off_at
    with ExitStack() as stack:
        kept.begin(port=port)
        try:
            cloud = _started(stack, folder=folder, port=port, kept=kept.folder)
        except LocalCloudError as error:
            raise LocalCloudError(
                f"{error}\n---\nIf what is kept in {kept.folder} is the cause: {WAY_OUT}"
            ) from error
        made_of = sources()
        deployment = kept.deployment(made_of)
        if deployment is None:
            deployment = _deployed(cloud)
            kept.deployed(deployment, fingerprint=made_of)
        else:
            say("The app is deployed as it was: its sources have not changed.")
        if cut_off_at is not None:
            say(_cut_off(cut_off_at))
        with published_state(cloud, deployment):
            if count_events(cloud, deployment):
                show_kept(cloud, deployment)
            else:
                show(cloud, deployment)
            if not once:
                _stay_up(cloud, deployment)


def _started(stack: ExitStack, *, folder: Path, port: int | None, kept: Path | None = None) -> Cloud:
    with phase("Starting the local cloud", "The local cloud is up"):
        return stack.enter_context(local_cloud(folder=folder, port=port, kept=kept))


def _deployed(cloud: Cloud) -> Deployment:
    deploying = "Deploying the app with the CDK: bootstrap, synth, deploy"
    with phase(deploying, "The app is bootstrapped, synthesized and deployed") as report:
        return deploy(cloud, report=report)


def _must_be_saved(kept: Kept) -> None:
    at = kept.cut_off_at
    if at is not None:
        raise LocalCloudError(f"The local cloud has ended without saving everything. {_cut_off(at)}")


def _cut_off(at: datetime) -> str:
    return (
        "The last run ended without saving everything. The tables have all that was answered. Queues, "
        f"functions and the rest are as of {at:%Y-%m-%d %H:%M:%S} UTC; what was published since is published "
        "again."
    )


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
