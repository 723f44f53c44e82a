"""`eventstore`, or `python -m eventstore`: the command line; needs the extra `cli`."""

import importlib
import sys

from eventstore._command_line import run_command
from eventstore.cli.signals import Signals


def _main(signals: Signals) -> int:
    # Behind the signals' handling: the imports take a moment, in which somebody may end it already.
    code: int = importlib.import_module("eventstore.cli.main").main(signals=signals)
    return code


def main() -> int:
    """Run the command line of this process; return the exit code."""
    handled = Signals()
    handled.install()
    return run_command(lambda: _main(handled))


if __name__ == "__main__":
    sys.exit(main())
