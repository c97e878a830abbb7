"""The input dataset: names, inheritance, the query for scans, facts about people, and the BIDS validator."""
