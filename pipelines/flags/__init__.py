"""Thresholds of a scan's methods, and the flags that they make of its scores."""
