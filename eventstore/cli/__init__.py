"""The command line, `python -m eventstore`: its commands, and all that they share (docs/operations.md)."""
