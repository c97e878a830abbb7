"""Time, memory and brain: bidsdeface measured beside other programs. No part of the package."""
