"""Measures of a result, their limits, and the evidence that it may be published."""
