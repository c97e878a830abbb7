"""What was measured of a result, and whether that is good enough to publish it."""
