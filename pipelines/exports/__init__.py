"""Makes of a scan what its images are used for next: lists of what to keep and drop, and filtered copies."""
