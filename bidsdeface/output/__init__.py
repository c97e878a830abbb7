"""An output dataset: names of files, records in sidecars, publication and withdrawal."""
