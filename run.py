#!/usr/bin/env python3
"""Run the BIDS App: the entry point that containers start."""

import sys

from bidsdeface.cli import main

if __name__ == "__main__":
    sys.exit(main())
