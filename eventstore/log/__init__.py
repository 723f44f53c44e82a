"""The log: the order in which the events of all streams were put down once and for all.

It keeps addresses, not events: of each event its stream, EventId, name and Timestamp. It's fed by the table's
stream, and written in *blocks* to a few *tranches*. A stream lives in one tranche; inside of a tranche the
order is persisted, the same for every reader, and nothing ever appears before what was read. Across tranches
there's no order.

An entry can stand in the log twice, since what feeds it is delivered at least once. The first entries of a
stream's events are in the stream's order and without holes, but for what failed: an entry that an outage has
lost is logged late, behind later ones. So a reader drops an entry only when it knows that this very event is
handled, and takes one that's further on for a sign that all before it is there.
"""
