"""What an adapter of `EventStore` is tested with, and what your own tests can use.

Needs pytest (and hypothesis for `machine`). Run the contract on an adapter of your own::

    class TestMyStore(EventStoreContract):
        def make_store(self, *, clock_us, settling_s):
            return MyStore(...)
"""

from eventstore.testing.clock import FakeClock
from eventstore.testing.contract import EventStoreContract

__all__ = ["EventStoreContract", "FakeClock"]
