"""The store's ports in memory: for tests, with the contracts of the real ones."""
