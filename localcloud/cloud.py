"""The local cloud: ministack, an AWS on 127.0.0.1 whose Lambda functions run on this Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import boto3
import botocore.session
import httpx
from botocore.config import Config

from localcloud.kept_store import KEPT
from localcloud.processes import FOLDER, HOST, free_port, server

REGION: Final = "us-east-1"
ACCOUNT: Final = "000000000000"

# A profile, a region or an endpoint of the user's must neither leak in nor be reached from here.
_NO_PROXY: Final = {"NO_PROXY": f"{HOST},localhost", "no_proxy": f"{HOST},localhost"}
_NOTHING_OF_THE_USERS: Final = {
    name: (None, None, os.devnull if name in {"config_file", "credentials_file"} else default, convert)
    for name, (_, _, default, convert) in botocore.session.Session.SESSION_VARIABLES.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """A running local cloud."""

    port: int
    folder: Path
    """Where its log and the CDK's are."""
    process: subprocess.Popen[bytes]
    """Its pid is that of the process group, to which the Lambda workers belong too."""

    @property
    def endpoint(self) -> str:
        """The URL of every AWS service."""
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """What it has written, the functions' output included."""
        return self.folder / "cloud.log"

    def is_up(self) -> bool:
        """Return whether its process is still running."""
        return self.process.poll() is None

    def session(self) -> boto3.Session:
        """Make a session with this cloud's credentials; give its clients ``endpoint_url=cloud.endpoint``."""
        session = botocore.session.Session(session_vars=_NOTHING_OF_THE_USERS)
        # Without it a proxy of the user's would be asked for 127.0.0.1.
        session.set_default_client_config(Config(proxies={}))
        return boto3.Session(
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - the local cloud checks none
            region_name=REGION,
            botocore_session=session,
        )

    def environment(self) -> dict[str, str]:
        """Return the environment in which AWS tools work on this cloud, and can't reach any other."""
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
def local_cloud(
    *, folder: Path = FOLDER, port: int | None = None, kept: Path | None = None
) -> Iterator[Cloud]:
    """Start a local cloud and end it, with every process it has started, when the block is left.

    Args:
        folder: where its log and its temporary files go.
        port: where it listens on 127.0.0.1; None for any free port.
        kept: the folder of a kept store that it goes on with, and saves to; None to begin empty.

    Raises:
        LocalCloudError: the port is taken, it didn't start, or didn't end.
    """
    port = free_port(port)
    temporary = folder / f"cloud-{port}"
    temporary.mkdir(parents=True, exist_ok=True)
    with httpx.Client(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=5) as http:

        def answers() -> bool:
            try:
                return http.get("/_ministack/health").is_success
            except httpx.TransportError:
                return False

        command = (sys.executable, "-m", "localcloud.emulator")
        environment = _ministack_environment(port=port, temporary=temporary)
        if kept is not None:
            environment |= {KEPT: str(kept.resolve()), "STATE_DIR": str(kept.resolve())}
        log = folder / "cloud.log"
        try:
            with server(
                command,
                name="The local cloud",
                log=log,
                environment=environment,
                answers=answers,
                saves=kept is not None,
            ) as process:
                yield Cloud(port=port, folder=folder, process=process)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _environment_without_aws() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    return {**kept, **_NO_PROXY}


def _ministack_environment(*, port: int, temporary: Path) -> dict[str, str]:
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
