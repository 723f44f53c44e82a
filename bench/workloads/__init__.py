"""The workloads: each a function that measures every candidate and returns what it saw as plain values."""
