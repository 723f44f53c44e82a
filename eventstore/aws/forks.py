"""Connections are never shared across a fork: a child begins with none.

Two processes on one TCP connection get each other's answers: another stream's events, an "appended" for a
write that was refused. `dynamodb_client` gives what it makes to `fork_safe`, and each adapter its client.
After `os.fork` (gunicorn with ``--preload``, celery, multiprocessing), each child drops the connections that
it has inherited before its own code runs. The parent's stay as they are.

A client that was used before it came here may be older than this process: a program asks something at its
start, and the store is made in the child. Nothing shows that, so its connections are dropped when it comes.

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
from typing import Any, Final, TypeVar

from botocore.client import BaseClient
from botocore.httpsession import URLLib3Session

Client = TypeVar("Client")

_clients: dict[int, weakref.ref[BaseClient]] = {}


_PATIENCE_S: Final = 0.1
"""For how long another thread of this process may hold the lock of a pool: it takes a connection."""


def fork_safe(client: Client) -> Client:
    """Have a boto3 client drop its connections in each forked child; returns the same client.

    Cost: nothing for a client that has no connections yet. One that was used before it was first given drops
    them, and so makes a new one with its next request.
    """
    if isinstance(client, BaseClient) and id(client) not in _clients:
        key = id(client)
        _clients[key] = weakref.ref(client, lambda _: _clients.pop(key, None))
        # Other threads may use it meanwhile; what they hold is theirs, be it of the pools or a lock.
        _make_own(client, is_alone=threading.active_count() == 1)
    return client


def _drop_connections() -> None:
    """Make the clients of a child fit for use, taking no lock that the parent's threads may have held."""
    for reference in [*_clients.values()]:
        client = reference()
        if client is not None:
            _make_own(client, is_alone=True)


def _make_own(client: Any, *, is_alone: bool) -> None:
    """Drop what a client may have of another process.

    Args:
        is_alone: this process has no other thread, so nobody holds a lock that is held.
    """
    http_session = getattr(getattr(client, "_endpoint", None), "http_session", None)
    _let_go(http_session, otherwise=client, is_alone=is_alone)
    _free_credentials(
        getattr(getattr(client, "_request_signer", None), "_credentials", None), is_alone=is_alone
    )


def _let_go(http_session: Any, *, otherwise: Any, is_alone: bool) -> None:
    """Drop a session's connections; where its inside is another one, close `otherwise` in public."""
    try:
        _replace_pools(http_session, is_alone=is_alone)
    except (AttributeError, TypeError):
        otherwise.close()


def _replace_pools(http_session: Any, *, is_alone: bool) -> None:
    managers = [http_session._manager, *http_session._proxy_managers.values()]  # noqa: SLF001
    pools = [pool for manager in managers for pool in [*manager.pools._container.values()]]  # noqa: SLF001
    if not pools and not any(map(_is_held, managers)):
        return  # it has never sent a request
    # A new one with a TLS context of its own: OpenSSL's has locks, too.
    manager = type(http_session._manager)(**http_session._get_pool_manager_kwargs())  # noqa: SLF001
    manager.pool_classes_by_scheme = http_session._pool_classes_by_scheme  # noqa: SLF001
    http_session._manager, http_session._proxy_managers = manager, {}  # noqa: SLF001
    for pool in pools:
        _close_idle(pool, patience_s=0 if is_alone else _PATIENCE_S)


def _is_held(manager: Any) -> bool:
    """Return whether a thread is making the first pool."""
    lock = manager.pools.lock
    if not lock.acquire(blocking=False):
        return True
    lock.release()
    return False


def _close_idle(pool: Any, *, patience_s: float) -> None:
    """Close this process's copies of a pool's sockets; that ends no TLS session, so another's goes on."""
    connections = pool.pool
    if connections is None:
        return
    lock = connections.mutex
    if lock.acquire(timeout=patience_s):
        try:
            queued, connections.queue[:] = [*connections.queue], [None] * len(connections.queue)
        finally:
            lock.release()
    else:  # by a thread that is in another process
        queued = [*connections.queue]
        # Empty, and with locks that nobody holds: urllib3 empties it once more when the pool is collected.
        type(connections).__init__(connections, connections.maxsize)
    for connection in queued:
        if connection is not None:
            connection.close()


def _free_credentials(credentials: Any, *, is_alone: bool) -> None:
    """Free the lock under which another thread of the parent may have been refreshing credentials.

    And drop the connections to what they're refreshed from: the metadata of an instance or a container, which
    botocore asks by a session of its own, as often as they expire. Those of a role that is assumed have
    others behind them; its client of STS is made anew for each refresh.
    """
    if is_alone and hasattr(credentials, "_refresh_lock"):
        credentials._refresh_lock = threading.Lock()  # noqa: SLF001
    for fetcher in _fetchers(getattr(credentials, "_refresh_using", None)):
        session = getattr(fetcher, "_session", None)
        if isinstance(session, URLLib3Session):
            _let_go(session, otherwise=session, is_alone=is_alone)
        behind = getattr(fetcher, "_source_credentials", None)
        if behind is not None:
            _free_credentials(behind, is_alone=is_alone)


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
