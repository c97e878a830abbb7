"""Pictures and pages about results. Only the private report, in the work dir, shows originals."""
