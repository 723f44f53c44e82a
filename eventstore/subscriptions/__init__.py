"""Subscriptions: every event of the log to a handler, history first, then live, by workers that share it.

::

    worker = subscribe("orders-view", handler, log=log, bodies=bodies, checkpoints=checkpoints)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    worker.run_forever()
"""

from eventstore.subscriptions.checkpoints import Checkpoints, Group, Lease, ParkedEvent, Start
from eventstore.subscriptions.projection import ItemReadModel, Projection, ReadModel
from eventstore.subscriptions.retry import Retried
from eventstore.subscriptions.shared_reader import SharedReader
from eventstore.subscriptions.start import From
from eventstore.subscriptions.subscribing import subscribe
from eventstore.subscriptions.subscription import Subscription
from eventstore.subscriptions.terms import Handler, OnFailure, Terms
from eventstore.subscriptions.tranche_reader import EventBodies
from eventstore.subscriptions.transient import is_transient
from eventstore.subscriptions.values import KeyValue, Value
from eventstore.subscriptions.writes import Delete, Put, Update, Write

__all__ = [
    "Checkpoints",
    "Delete",
    "EventBodies",
    "From",
    "Group",
    "Handler",
    "ItemReadModel",
    "KeyValue",
    "Lease",
    "OnFailure",
    "ParkedEvent",
    "Projection",
    "Put",
    "ReadModel",
    "Retried",
    "SharedReader",
    "Start",
    "Subscription",
    "Terms",
    "Update",
    "Value",
    "Write",
    "is_transient",
    "subscribe",
]
