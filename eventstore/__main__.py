"""`python -m eventstore`: the command line; needs the extra `cli`."""

import sys

from eventstore.cli.main import main
from eventstore.cli.signals import Signals

if __name__ == "__main__":
    signals = Signals()
    signals.install()
    sys.exit(main(signals=signals))
