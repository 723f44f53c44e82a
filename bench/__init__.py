"""Benchmarks: run by hand, their figures committed beside them."""
