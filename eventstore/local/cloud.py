"""The local cloud's process: ministack on 127.0.0.1, ended with every process that it has spawned."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import boto3
import botocore.session
import httpx

ROOT: Final = Path(__file__).parent.parent.parent
FOLDER: Final = ROOT / ".local"
HOST: Final = "127.0.0.1"
REGION: Final = "us-east-1"
ACCOUNT: Final = "000000000000"

_STARTS_WITHIN_S: Final = 60.0
_ENDS_WITHIN_S: Final = 10.0


class LocalCloudError(RuntimeError):
    """The local cloud could not be started, ended or deployed to; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """A running local cloud."""

    port: int
    pid: int
    """Its process, which is also its process group: the Lambda workers belong to it."""
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def endpoint(self) -> str:
        """The URL of every AWS service."""
        return f"http://{HOST}:{self.port}"

    def is_up(self) -> bool:
        """Tell whether its process is still running."""
        return self.process.poll() is None

    def session(self) -> boto3.Session:
        """Make a session with this cloud's credentials; give its clients ``endpoint_url=cloud.endpoint``."""
        # Without these, a profile named in the user's environment would be looked up, and missed.
        variables = {
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
        return boto3.Session(
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - the local cloud checks none
            region_name=REGION,
            botocore_session=botocore.session.Session(session_vars=variables),
        )

    def environment(self) -> dict[str, str]:
        """The environment in which AWS tools work on this cloud, and can't reach any other."""
        return {
            **_environment_without_aws(),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def local_cloud(*, folder: Path = FOLDER, port: int | None = None) -> Iterator[Cloud]:
    """Start a local cloud and end it, with every process it has spawned, when the block is left.

    Should this process die without leaving the block, the cloud ends too.

    Args:
        folder: where its log (`cloud.log`) and its temporary files go.
        port: where it listens on 127.0.0.1; None for any free port.

    Raises:
        LocalCloudError: the port is taken, it didn't start (with the end of its log), or didn't end.
    """
    port = _free_port(port)
    temporary = folder / f"cloud-{port}"
    temporary.mkdir(parents=True, exist_ok=True)
    log = folder / "cloud.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "eventstore.local.guarded"],
            cwd=ROOT,
            env=_ministack_environment(port=port, temporary=temporary),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    cloud = Cloud(port=port, pid=process.pid, folder=folder, process=process)
    try:
        _await_health(cloud, process, log)
        yield cloud
    finally:
        _end(process)
        shutil.rmtree(temporary, ignore_errors=True)


def group_is_alive(pid: int) -> bool:
    """Tell whether any process of this process group is left."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    processes = [*Path("/proc").glob("[0-9]*/stat")]
    # Where the first process reaps nothing (some containers), ended ones stay listed: look at their state.
    return any(_is_running_in(pid, stat) for stat in processes) if processes else True


def _is_running_in(group: int, stat: Path) -> bool:
    try:
        state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(pgrp) == group and state not in "ZX"


def log_tail(log: Path, *, lines: int = 20) -> str:
    """The end of a log, to be shown in an error."""
    text = log.read_text(errors="replace").rstrip().splitlines()[-lines:]
    return "\n".join([f"--- the end of {log}:", *text])


def _environment_without_aws() -> dict[str, str]:
    # A profile, a region or an endpoint of the user's must neither leak in here nor be reached from here.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    return {**kept, "NO_PROXY": f"{HOST},localhost", "no_proxy": f"{HOST},localhost"}


def _ministack_environment(*, port: int, temporary: Path) -> Mapping[str, str]:
    return {
        **_environment_without_aws(),
        "BIND_HOST": HOST,  # without it, ministack listens on every interface
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "localhost",  # in the URLs of APIs: <id>.execute-api.localhost
        "TMPDIR": str(temporary),
        "LAMBDA_EXECUTOR": "local",
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "IOT_MTLS_ENABLED": "0",  # else it also listens on 8883
        "SFTP_ENABLED": "0",
        "PYTHONUNBUFFERED": "1",
    }


def _free_port(wanted: int | None) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted or 0))
        except (OSError, OverflowError) as error:
            raise LocalCloudError(
                f"Port {wanted} of {HOST} can't be had ({error}). Name another one (PORT=4567 make run), "
                "or none, and a free one is taken."
            ) from error
        port: int = probe.getsockname()[1]
    return port


def _await_health(cloud: Cloud, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    with httpx.Client(base_url=cloud.endpoint, trust_env=False, timeout=5) as http:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise LocalCloudError(
                    f"The local cloud ended with code {process.returncode} while starting.\n{log_tail(log)}"
                )
            try:
                if http.get("/_ministack/health").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.05)
    raise LocalCloudError(f"The local cloud didn't answer within {_STARTS_WITHIN_S:g} s.\n{log_tail(log)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    deadline = time.monotonic() + _ENDS_WITHIN_S
    while process.poll() is None or group_is_alive(process.pid):
        if time.monotonic() > deadline:
            raise LocalCloudError(f"Processes of the local cloud are left: see `ps -g {process.pid}`.")
        time.sleep(0.02)
