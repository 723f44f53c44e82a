"""Connections are never shared across a fork: a child begins with none.

Two processes on one TCP connection get each other's answers: another stream's events, an "appended" for a
write that was refused. Each adapter gives its client to `fork_safe`. After `os.fork` (gunicorn with
``--preload``, celery, multiprocessing), each child drops the connections that it has inherited before its own
code runs. The parent's stay as they are.

This leans on the inside of botocore and urllib3, here alone. The public `client.close()` would take locks of
the connection pools; a thread of the parent that held one at the fork isn't there in the child to give it
back. Where their inside is another one some day, the child uses `client.close()` all the same
(`tests/contract/test_forks.py` notices).
"""

from __future__ import annotations

import inspect
import os
import threading
import weakref
from collections.abc import Iterator
from typing import Any, TypeVar

from botocore.client import BaseClient
from botocore.httpsession import URLLib3Session

Client = TypeVar("Client")

_clients: dict[int, weakref.ref[BaseClient]] = {}


def fork_safe(client: Client) -> Client:
    """Have a boto3 client drop its connections in each forked child; returns the same client."""
    if isinstance(client, BaseClient):
        key = id(client)
        _clients[key] = weakref.ref(client, lambda _: _clients.pop(key, None))
    return client


def _drop_connections() -> None:
    """Make the clients of a child fit for use, taking no lock that the parent's threads may have held."""
    for reference in [*_clients.values()]:
        client: Any = reference()
        if client is not None:
            endpoint = getattr(client, "_endpoint", None)
            _let_go(getattr(endpoint, "http_session", None), otherwise=client)
            _free_credentials(getattr(getattr(client, "_request_signer", None), "_credentials", None))


def _let_go(http_session: Any, *, otherwise: Any) -> None:
    """Drop a session's connections; where its inside is another one, close `otherwise` in public."""
    try:
        _replace_pools(http_session)
    except (AttributeError, TypeError):
        otherwise.close()


def _replace_pools(http_session: Any) -> None:
    before = [http_session._manager, *http_session._proxy_managers.values()]  # noqa: SLF001
    # A new one with a TLS context of its own: OpenSSL's has locks, too.
    pools = type(http_session._manager)(**http_session._get_pool_manager_kwargs())  # noqa: SLF001
    pools.pool_classes_by_scheme = http_session._pool_classes_by_scheme  # noqa: SLF001
    http_session._manager, http_session._proxy_managers = pools, {}  # noqa: SLF001
    for manager in before:
        for pool in [*manager.pools._container.values()]:  # noqa: SLF001
            _close_idle(pool)


def _close_idle(pool: Any) -> None:
    """Close the child's copies of a pool's sockets; that ends no TLS session, so the parent goes on."""
    connections = pool.pool
    if connections is None:
        return
    idle = [connection for connection in connections.queue if connection is not None]
    # Empty, and with locks that nobody holds: urllib3 empties it once more when the pool is collected.
    type(connections).__init__(connections, connections.maxsize)
    for connection in idle:
        connection.close()


def _free_credentials(credentials: Any) -> None:
    """Free the lock under which another thread of the parent may have been refreshing credentials.

    And drop the connections to what they're refreshed from: the metadata of an instance or a container, which
    botocore asks by a session of its own, as often as they expire. Those of a role that is assumed have
    others behind them; its client of STS is made anew for each refresh.
    """
    if hasattr(credentials, "_refresh_lock"):
        credentials._refresh_lock = threading.Lock()  # noqa: SLF001
    for fetcher in _fetchers(getattr(credentials, "_refresh_using", None)):
        session = getattr(fetcher, "_session", None)
        if isinstance(session, URLLib3Session):
            _let_go(session, otherwise=session)
        behind = getattr(fetcher, "_source_credentials", None)
        if behind is not None:
            _free_credentials(behind)


def _fetchers(refresh: Any) -> Iterator[Any]:
    """Yield what a function of botocore that refreshes credentials belongs to: a fetcher, or a provider's."""
    try:
        variables = inspect.getclosurevars(refresh).nonlocals if inspect.isfunction(refresh) else {}
    except ValueError:  # a variable that isn't bound yet
        variables = {}
    for owner in (getattr(refresh, "__self__", None), *variables.values()):
        yield owner
        yield getattr(owner, "_fetcher", None)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_drop_connections)
