"""Looking after a store: verify and repair, export and import."""
