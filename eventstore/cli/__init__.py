"""The command line: `python -m eventstore`, commands redrive, verify, export, import (docs/operations.md)."""
