"""Run the command line with ``python -m bidsdeface``."""

import sys

from bidsdeface.cli import main

if __name__ == "__main__":
    sys.exit(main())
