"""Templates: a head to start from, with masks of its face, ears and brain."""
