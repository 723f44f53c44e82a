"""The stored format: names and keys of each table, and nothing else, so that infra/ imports leaves."""
