"""The files that accompany defaced scans in a complete dataset: selected, made safe, and kept up to date."""
