"""Checks that a scan directory is whole and says what its images say. Reads only; mends nothing."""
