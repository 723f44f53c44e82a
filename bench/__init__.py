"""The benchmark: what this library, the floor and its peers cost, measured in one run. See docs/benchmarks.md."""
