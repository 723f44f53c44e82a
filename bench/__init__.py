"""The benchmark of this library, the floor and its peers. See docs/benchmarks.md."""
