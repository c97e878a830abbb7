"""Everything in a dataset that may tell who it is and is not the face."""
