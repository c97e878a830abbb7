"""BIDS in and out: what is in a dataset, and where and how results are written."""
