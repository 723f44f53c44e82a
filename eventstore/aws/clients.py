"""Clients of boto3, as adapters take them: of the right service, and never shared across a fork."""

from __future__ import annotations

from typing import TypeVar

from botocore.client import BaseClient

from eventstore._arguments import check_methods
from eventstore.aws.forks import fork_safe
from eventstore.errors import InvalidArgument

Client = TypeVar("Client")


def take_client(client: Client, service: str, *operations: str) -> Client:
    """Return the same client; in each forked child it drops its connections.

    Args:
        service: boto3's name of it, such as ``dynamodb``.
        operations: the methods that are called. What isn't boto3's, such as a test's own client, will do
            with those that come to be called: it's refused only when it has none of them.

    Raises:
        InvalidArgument: it isn't a client of that service.
    """
    give = f"a client of boto3, such as boto3.client({service!r})"
    if isinstance(client, BaseClient):
        given = client.meta.service_model.service_name
        if given != service:
            raise InvalidArgument("client", f"is a client of {given}; give {give}")
    elif hasattr(getattr(client, "meta", None), "client") and hasattr(type(client), "meta"):
        raise InvalidArgument("client", f"is a resource of boto3; give {give}")
    if isinstance(client, type) or not any(callable(getattr(client, name, None)) for name in operations):
        check_methods(client, operations, "client", give=give)
    return fork_safe(client)
