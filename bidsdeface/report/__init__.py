"""Pictures and pages about results; none ever shows an original."""
