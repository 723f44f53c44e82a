"""Deploys this repository's CDK app to the local cloud: the real `cdk bootstrap` and `cdk deploy`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from localcloud.cloud import ACCOUNT, REGION, Cloud
from localcloud.fingerprint import fingerprint
from localcloud.processes import FOLDER, ROOT, LocalCloudError, log_tail

Report = Callable[[str], None]
"""Takes a line about what is going on."""

ENVIRONMENT: Final = "local"
SETTLING_S: Final = 2
"""Seconds until an event counts as settled here, so that nobody waits for the 10 s that AWS is given."""

_CLI: Final = FOLDER / "cdk" / "node_modules" / ".bin" / "cdk"
_ASSEMBLY: Final = FOLDER / "cdk.out"
"""Shared by all local clouds of this checkout, one after the other: it keeps the packages that were built."""

_SYNTHESIZED: Final = _ASSEMBLY / "fingerprint"
"""Of what it was made; missing while it is being made."""

_CONTEXT: Final = ("--context", f"environment={ENVIRONMENT}", "--context", f"settlingS={SETTLING_S}")
_QUIET: Final = ("--no-notices", "--no-version-reporting", "--no-color")
_RESOURCE: Final = re.compile(r"^(\S+) \| +(\d+)/(\d+) \| .+? \| \w+_COMPLETE +\| (\S+)")
_PACKAGING: Final = re.compile(r"^Packaging .*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where the deployed app is found."""

    api_url: str
    """The HTTP API, without a trailing slash; its host resolves everywhere."""
    events_table: str
    log_table: str
    subscriptions_table: str
    event_bus: str
    failed_events_queue_url: str


def sources() -> str:
    """Return the fingerprint of all that the deployed app is made of."""
    return fingerprint(ROOT, context=_CONTEXT)


def deploy(cloud: Cloud, *, report: Report) -> Deployment:
    """Bootstrap the cloud and deploy all stacks of `app.py` with ``environment=local``.

    They are synthesized only when the sources have changed since the last time. What the CDK says is kept in
    `bootstrap.log`, `synth.log` and `deploy.log` of the cloud's folder.

    Raises:
        LocalCloudError: one of the three failed; with the end of its log.
    """
    outputs = cloud.folder / "outputs.json"
    outputs.unlink(missing_ok=True)
    # Neither of the two needs the other. The first runs where no cdk.json makes it synthesize as well.
    preparing = [_Command("bootstrap", (f"aws://{ACCOUNT}/{REGION}", *_QUIET), folder=cloud.folder)]
    made_of = sources()
    if not _is_synthesized(made_of):
        _SYNTHESIZED.unlink(missing_ok=True)
        app = f'"{sys.executable}" app.py'
        synth = ("--quiet", "--app", app, "--output", str(_ASSEMBLY), *_CONTEXT, *_QUIET)
        preparing.append(_Command("synth", synth))
    _run(cloud, report, *preparing)
    _SYNTHESIZED.write_text(made_of)
    how = ("--require-approval", "never", "--progress", "events", "--outputs-file", str(outputs), *_QUIET)
    _run(cloud, report, _Command("deploy", ("--all", "--app", str(_ASSEMBLY), *how)))
    _drop_old_packages()
    return _deployment(cloud, outputs)


@dataclass(frozen=True, slots=True)
class _Command:
    name: str
    arguments: Sequence[str]
    folder: Path = ROOT


def _run(cloud: Cloud, report: Report, *commands: _Command) -> None:
    """Run commands of the CDK side by side; however this is left, none of their processes is."""
    processes: list[subprocess.Popen[str]] = []
    try:
        with ThreadPoolExecutor(len(commands)) as executor:
            try:
                processes += [_start(cloud, command) for command in commands]
                following = [
                    executor.submit(_follow, cloud, command, process, report)
                    for command, process in zip(commands, processes, strict=True)
                ]
                for future in following:
                    future.result()
            finally:
                _end(processes)
    finally:
        for process in processes:
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _start(cloud: Cloud, command: _Command) -> subprocess.Popen[str]:
    if not _CLI.exists():
        raise LocalCloudError(f"The CDK CLI is not installed at {_CLI}: use `make run`, which installs it.")
    node = str(Path(sys.executable).parent)
    environment = {
        **cloud.environment(),
        "PATH": f"{node}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "CDK_DISABLE_VERSION_CHECK": "1",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
    }
    return subprocess.Popen(
        [str(_CLI), command.name, *command.arguments],
        cwd=command.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # so that it can be ended with all that it has started
    )


def _end(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def _follow(cloud: Cloud, command: _Command, process: subprocess.Popen[str], report: Report) -> None:
    log = cloud.folder / f"{command.name}.log"
    assert process.stdout is not None
    with log.open("w", errors="replace") as kept:
        for line in process.stdout:
            kept.write(line)
            told = _told(line)
            if told:
                report(told)
    if process.wait() != 0:
        raise LocalCloudError(f"`cdk {command.name}` failed.\n{log_tail(log)}")


def _told(line: str) -> str | None:
    resource = _RESOURCE.match(line)
    if resource:
        stack, done, total, kind = resource.groups()
        return f"{stack} {done}/{total} {kind}"
    packaging = _PACKAGING.match(line)
    return packaging[0] if packaging else None


def _is_synthesized(made_of: str) -> bool:
    try:
        if _SYNTHESIZED.read_text() != made_of:
            return False
        stacks = [json.loads(path.read_text()) for path in _ASSEMBLY.glob("*.assets.json")]
    except (FileNotFoundError, ValueError):
        return False
    files = [file["source"]["path"] for stack in stacks for file in stack["files"].values()]
    return bool(files) and all((_ASSEMBLY / path).exists() for path in files)


def _drop_old_packages() -> None:
    # Each change of the code makes new packages; nothing else removes the old ones.
    used = "".join(assets.read_text() for assets in _ASSEMBLY.glob("*.assets.json"))
    for package in _ASSEMBLY.glob("asset.*"):
        if package.is_dir() and package.name not in used:
            shutil.rmtree(package, ignore_errors=True)


def _deployment(cloud: Cloud, outputs: Path) -> Deployment:
    stacks = json.loads(outputs.read_text())
    data, service = (stacks[f"EventStore-{ENVIRONMENT}-{name}"] for name in ("Data", "Service"))
    # The API's own URL has its id in the host name, which not every client resolves here.
    api_id = service["ApiUrl"].removeprefix("http://").removeprefix("https://").partition(".")[0]
    return Deployment(
        api_url=f"{cloud.endpoint}/_aws/execute-api/{api_id}/$default",
        events_table=data["EventsTableName"],
        log_table=data["LogTableName"],
        subscriptions_table=data["SubscriptionsTableName"],
        event_bus=data["EventBusName"],
        failed_events_queue_url=service["FailedEventsQueueUrl"],
    )
