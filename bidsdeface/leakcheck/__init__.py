"""Read a finished dataset and name everything in it that may identify a person."""
