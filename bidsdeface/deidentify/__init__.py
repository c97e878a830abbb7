"""Rules that decide which fields, columns and values identify a person. No dataset is opened here."""
