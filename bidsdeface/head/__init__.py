"""One head, from its scans to published results: registration, face mask, defacing, verification."""
