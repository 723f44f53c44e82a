"""The contract of `EventStore`: what holds on every adapter."""

from __future__ import annotations

from eventstore.testing.appends_contract import AppendsContract
from eventstore.testing.reads_contract import ReadsContract
from eventstore.testing.refusals_contract import RefusalsContract
from eventstore.testing.repeats_contract import RepeatsContract
from eventstore.testing.transactions_contract import TransactionsContract
from eventstore.testing.uid_search_contract import UidSearchContract


class EventStoreContract(
    AppendsContract, TransactionsContract, RepeatsContract, UidSearchContract, RefusalsContract, ReadsContract
):
    """Subclass it as ``Test...`` and make an empty store; pytest runs the rest."""
