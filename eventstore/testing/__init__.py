"""What an adapter of each port of yours is tested with, and what your tests can use.

Needs pytest (and hypothesis for `machine`). Run the contract on an adapter of your own::

    class TestMyStore(EventStoreContract):
        def make_store(self, *, clock_us, settling_s):
            return MyStore(...)

    class TestMyLog(EventLogContract):
        def make_log(self, *, tranches):
            return MyLog(...)

    class TestMyCheckpoints(CheckpointsContract):
        def make_checkpoints(self):
            return MyCheckpoints(...)

    class TestMyReadModel(ReadModelContract):
        def make_read_model(self):
            return MyReadModel(...)

        def make_table(self, **key):
            return MyTables.make(key)

Say what a `Decider` decides, without a store::

    given(orders, OrderPlaced(total=12)).when(lambda order: order.pay()).then(OrderPaid())
"""

from eventstore.testing.checkpoints_contract import CheckpointsContract
from eventstore.testing.clock import FakeClock
from eventstore.testing.contract import EventStoreContract
from eventstore.testing.decisions import Given, Outcome, given
from eventstore.testing.log_contract import EventLogContract
from eventstore.testing.read_model_contract import ReadModelContract

__all__ = [
    "CheckpointsContract",
    "EventLogContract",
    "EventStoreContract",
    "FakeClock",
    "Given",
    "Outcome",
    "ReadModelContract",
    "given",
]
