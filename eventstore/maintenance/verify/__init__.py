"""Verification: whether the store is whole, and exactly what is wrong where it isn't.

`verify.Verification` runs it, `segments` checks the table's items, `digests` compares the table with its
index and the log without holding either in memory, `repair` puts back what can be known.
"""
